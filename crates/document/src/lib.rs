//! What the two ends of afmetrics agree on: the documents, the table of their kinds, and the
//! published names that are the only names a document can hold.

pub mod document;
pub mod kinds;
pub mod names;

pub use document::{CollectorReport, CollectorResult, Document, Heard, Traffic};
pub use names::{PublishedHost, PublishedUser, Publisher, Rules};
