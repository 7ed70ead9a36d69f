//! Counts the connections that a client makes, so that no more are made than are wanted.
//!
//! What surprised us: a request that finds no idle connection begins to make one, and takes whatever
//! comes first, the new one or another that gets idle meanwhile. What was begun is finished all the
//! same, and the request whose turn is next finds nothing idle and makes yet another. So with 16
//! requests at a time a fast endpoint saw up to 31 connections.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

/// The count, to be put into a client as a layer around what makes its connections.
#[derive(Debug, Default, Clone)]
pub struct Connections(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    begun: AtomicUsize,
    /// Made, failed or given up.
    ended: AtomicUsize,
    /// Made, and not known to be lost.
    made: AtomicUsize,
}

impl Connections {
    /// How many requests may be on their way without making more than `most` connections.
    pub fn room(&self, most: usize) -> usize {
        let count = |what: &AtomicUsize| what.load(Ordering::Relaxed);
        match count(&self.0.begun) == count(&self.0.ended) {
            true => most,
            // Only as many as find one that is there.
            false => most.min(count(&self.0.made).max(1)),
        }
    }

    /// A request had no answer: its connection is not used again.
    pub fn lost(&self) {
        let less = |made: usize| Some(made.saturating_sub(1));
        let _ = self
            .0
            .made
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl<S> Layer<S> for Connections {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            count: Arc::clone(&self.0),
        }
    }
}

/// What makes connections, counted.
#[derive(Debug, Clone)]
pub struct Counted<S> {
    inner: S,
    count: Arc<Count>,
}

impl<S, R> Service<R> for Counted<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let connecting = self.inner.call(request);
        let attempt = Attempt::begin(Arc::clone(&self.count));
        Box::pin(async move {
            let connection = connecting.await;
            if connection.is_ok() {
                tokio::spawn(attempt.succeed());
            }
            connection
        })
    }
}

/// Passes of the scheduler: three are needed.
const PASSES_UNTIL_IDLE: usize = 8;

/// A connection that is being made; it ends with this, however.
struct Attempt(Arc<Count>);

impl Attempt {
    fn begin(count: Arc<Count>) -> Self {
        count.begun.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }

    /// Ends only when the connection can be found: the client first starts the task that drives it,
    /// waits for that to be ready, and puts it to the idle ones.
    async fn succeed(self) {
        for _ in 0..PASSES_UNTIL_IDLE {
            tokio::task::yield_now().await;
        }
        self.0.made.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
