//! Every route, in one list; and what they share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::future::Either;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;

use crate::api::wrong_tokens::WrongTokens;
use crate::config::{Changeable, UNFOLDED, processors};
use crate::ingest::rate::Rates;
use crate::ingest::room::Rooms;
use crate::listen::Answers;
use crate::metrics::{Asked, Metrics};
use crate::pages::assets::Assets;
use crate::refusals::Refusals;
use crate::standing::Standings;
use crate::store::Store;
use crate::tokens::Tokens;
use crate::{answer, api, health, ingest, metrics, pages};

/// What the routes share.
pub struct App {
    pub store: Store,
    pub tokens: Tokens,
    changeable: RwLock<Changeable>,
    /// Whether browsers speak TLS with it, or with a proxy in front.
    pub is_https: bool,
    pub rates: Rates,
    pub wrong_tokens: WrongTokens,
    /// Memory for bodies.
    pub rooms: Rooms,
    /// Memory for the documents in them until they are stored.
    pub desks: Rooms,
    /// For work that takes long.
    pub processors: Semaphore,
    pub metrics: Metrics,
    pub refusals: Refusals,
    pub standings: Standings,
    pub assets: Assets,
    stopping: AtomicBool,
}

impl App {
    pub fn new(store: Store, changeable: Changeable, is_https: bool) -> Self {
        let limits = changeable.limits;
        Self {
            metrics: Metrics::new(store.tally()),
            refusals: Refusals::default(),
            standings: Standings::default(),
            assets: Assets::default(),
            store,
            tokens: Tokens::default(),
            changeable: RwLock::new(changeable),
            is_https,
            rates: Rates::new(limits.rate),
            wrong_tokens: WrongTokens::default(),
            rooms: Rooms::new(limits.short, limits.bodies),
            desks: Rooms::new(limits.short * UNFOLDED / 4, limits.documents),
            processors: Semaphore::new(processors()),
            stopping: AtomicBool::new(false),
        }
    }

    /// What the configuration says now.
    pub fn now(&self) -> Changeable {
        *self
            .changeable
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this is what the configuration says.
    pub fn change(&self, changeable: Changeable) {
        self.rates.change(changeable.limits.rate);
        *self
            .changeable
            .write()
            .unwrap_or_else(PoisonError::into_inner) = changeable;
    }

    /// From now on new documents are answered 503.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Answers what is asked by the list of routes. Documents are most of what comes: they need not be looked up in
/// it, which would cost more than to read them.
#[derive(Clone)]
pub struct Routes {
    app: Arc<App>,
    list: Router,
}

impl Routes {
    pub fn new(app: Arc<App>) -> Self {
        let list = list(Arc::clone(&app));
        Self { app, list }
    }
}

impl Answers for Routes {
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response> + Send + use<> {
        let path = request.uri().path();
        let path = DOCUMENTS.into_iter().find(|known| *known == path);
        match path {
            Some(path) if request.method() == Method::POST => {
                let request = request.map(Body::new);
                let documents = documents(Arc::clone(&self.app), path, peer, request);
                // It is large, and a connection that waits need not have room for it.
                Either::Left(Box::pin(documents))
            }
            _ => Either::Right(self.list.answer(request, peer)),
        }
    }
}

async fn documents(
    app: Arc<App>,
    path: &'static str,
    peer: SocketAddr,
    request: Request<Body>,
) -> Response {
    let taken = ingest::take(State(Arc::clone(&app)), request);
    let answer = metrics::counted(app, Asked::post(path), Some(peer.ip()), taken).await;
    answer::kept_by_nobody(answer).await
}

/// Where documents are sent to.
const DOCUMENTS: [&str; 2] = ["/", "/v1/documents"];

fn list(app: Arc<App>) -> Router {
    // What people and programs read is packed; answers to documents are short.
    let shown = pages::routes()
        .nest("/api/v1", api::routes())
        .layer(CompressionLayer::new());
    Router::new()
        // Those that come are answered before ([`Routes`]); here they say to other methods that this one is allowed.
        .route(DOCUMENTS[0], post(ingest::take))
        .route(DOCUMENTS[1], post(ingest::take))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/login", api::login::login())
        .route("/logout", api::login::logout())
        .route("/metrics", get(metrics::show))
        .merge(shown)
        .fallback(pages::nothing_here)
        .layer(map_response(answer::kept_by_nobody))
        .layer(from_fn_with_state(Arc::clone(&app), metrics::count))
        .with_state(app)
}
