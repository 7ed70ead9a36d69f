//! How parcels become bodies of requests: JSON documents with the token in each, or metrics by the
//! OpenTelemetry protocol, with the token in a header.

use bytes::Bytes;
use reqwest::header::{HeaderValue, InvalidHeaderValue};
use serde::Deserialize;

use super::parcels::{Origin, Parcel, lines};
use crate::measures::{Sample, otlp};
use crate::secret::Secret;

/// How parcels become bodies. It holds the token, so it cannot be printed.
#[derive(Clone)]
pub enum Wrapping {
    Documents {
        /// `{"token":"...",`
        token: Vec<u8>,
        /// Documents an array; `None`: one a request, and not in an array.
        batch_size: Option<usize>,
    },
    Metrics {
        /// `Bearer ...`, if there is a token.
        authorization: Option<HeaderValue>,
    },
}

/// A line of a batch of metrics: a sample, and whose it is.
#[derive(Deserialize)]
struct Measured<'a> {
    #[serde(borrow)]
    cluster: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    login_node: std::borrow::Cow<'a, str>,
    #[serde(flatten)]
    sample: Sample,
}

impl Wrapping {
    pub fn documents(token: &Secret, batch_size: Option<usize>) -> Self {
        let token = format!(r#"{{"token":{},"#, serde_json::Value::from(token.expose()));
        Self::Documents {
            token: token.into_bytes(),
            batch_size,
        }
    }

    /// An error: the token can stand in no header.
    pub fn metrics(token: &Secret) -> Result<Self, InvalidHeaderValue> {
        let authorization = match token.expose() {
            "" => None,
            token => {
                let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self::Metrics { authorization })
    }

    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Documents { .. } => "application/json",
            Self::Metrics { .. } => otlp::CONTENT_TYPE,
        }
    }

    pub fn authorization(&self) -> Option<&HeaderValue> {
        match self {
            Self::Documents { .. } => None,
            Self::Metrics { authorization } => authorization.as_ref(),
        }
    }

    pub fn is_metrics(&self) -> bool {
        matches!(self, Self::Metrics { .. })
    }

    /// How many documents go into a request, at most.
    pub fn most(&self) -> u64 {
        match self {
            Self::Documents { batch_size, .. } => batch_size.unwrap_or(1) as u64,
            Self::Metrics { .. } => u64::MAX,
        }
    }

    /// Whether requests are long.
    pub fn is_array(&self) -> bool {
        match self {
            Self::Documents { batch_size, .. } => batch_size.is_some(),
            Self::Metrics { .. } => true,
        }
    }

    /// The body of a request: the token is put in, and the time into late documents.
    pub fn body(&self, parcel: &Parcel) -> Bytes {
        match self {
            Self::Documents { token, batch_size } => json(token, batch_size.is_some(), parcel),
            Self::Metrics { .. } => metrics(parcel),
        }
    }

    /// What a document takes in a body besides its line, in bytes.
    pub fn around(&self, origin: &Origin) -> usize {
        match self {
            Self::Documents { token, .. } => {
                let timestamp = origin.timestamp.as_ref();
                token.len() + timestamp.map_or(0, |timestamp| timestamp.len() + 16)
            }
            Self::Metrics { .. } => 0,
        }
    }
}

fn json(token: &[u8], is_array: bool, parcel: &Parcel) -> Bytes {
    let mut front = token.to_vec();
    if let Some(timestamp) = &parcel.origin.timestamp {
        front.extend_from_slice(format!(r#""timestamp":"{timestamp}","#).as_bytes());
    }
    let count = usize::try_from(parcel.count).unwrap_or_default();
    let mut body = Vec::with_capacity(parcel.lines.len() + count * front.len() + 2);
    if is_array {
        body.push(b'[');
    }
    for (number, line) in lines(&parcel.lines).enumerate() {
        if number > 0 {
            body.push(b',');
        }
        // Every line is an object that begins with the cluster: the token goes in front of it.
        body.extend_from_slice(&front);
        body.extend_from_slice(line.get(1..).unwrap_or_default());
    }
    if is_array {
        body.push(b']');
    }
    body.into()
}

/// All samples have the time of their collection. A line that is none, of another version, is left out.
fn metrics(parcel: &Parcel) -> Bytes {
    let measured: Vec<Measured<'_>> = lines(&parcel.lines)
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let (cluster, login_node) = measured
        .first()
        .map_or((String::new(), String::new()), |it| {
            (it.cluster.to_string(), it.login_node.to_string())
        });
    let samples: Vec<Sample> = measured.into_iter().map(|it| it.sample).collect();
    let origin = otlp::Origin {
        cluster: &cluster,
        login_node: &login_node,
    };
    otlp::request(&samples, parcel.origin.collected, origin).into()
}
