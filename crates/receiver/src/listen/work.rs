//! What a connection is at: how many requests are in work on it, and when anything moved last.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

/// Clones are the same connection's.
#[derive(Debug, Clone)]
pub struct Work(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Requests whose answer has not begun. They have time limits of their own.
    asked: usize,
    /// Answers that have begun and have not ended.
    answering: usize,
    /// When a request came, or a piece of an answer was taken, last.
    moved: Instant,
}

impl Work {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            asked: 0,
            answering: 0,
            moved: Instant::now(),
        })))
    }

    /// A request has come.
    pub fn begin(&self) -> Asked {
        let mut state = self.state();
        state.asked += 1;
        state.moved = Instant::now();
        drop(state);
        Asked(self.clone())
    }

    /// Whether there is any request whose answer is not done.
    pub fn is_any(&self) -> bool {
        let state = self.state();
        state.asked + state.answering > 0
    }

    /// Since when nothing moves; `None`: something is expected of us, not of the other side.
    pub fn still_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.asked == 0).then_some(state.moved)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request whose answer has not begun.
pub struct Asked(Work);

impl Asked {
    /// The answer's body, which is in work until its last piece was taken.
    pub fn answer(self, body: Body) -> Answering {
        self.0.state().answering += 1;
        Answering {
            work: self.0.clone(),
            body,
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.asked -= 1;
        state.moved = Instant::now();
    }
}

/// The body of an answer.
pub struct Answering {
    work: Work,
    body: Body,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.work.state().moved = Instant::now();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.work.state();
        state.answering -= 1;
        state.moved = Instant::now();
    }
}
