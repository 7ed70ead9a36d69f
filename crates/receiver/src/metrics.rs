//! `GET /metrics`: the receiver in numbers, as OpenMetrics text, which Prometheus reads. Counting of requests.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::Mutex;

use crate::api::viewer::Viewer;
use crate::app::App;
use crate::listen::Counted;
use crate::refusals::Refusal;
use crate::standing::Standing;
use crate::store::tally::Tally;
use crate::{answer, clock};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    path: Cow<'static, str>,
    code: u16,
}

/// What is asked, as it is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Asked {
    method: &'static str,
    /// As in the list of routes, so that there are few.
    path: Cow<'static, str>,
}

impl Asked {
    /// A POST to a path of the list of routes.
    pub fn post(path: &'static str) -> Self {
        Self {
            method: "POST",
            path: Cow::Borrowed(path),
        }
    }
}

/// Bounds of the requests' durations, in seconds; none takes longer than a long body's way here.
const BOUNDS: [f64; 11] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    facility: String,
    node: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileOf {
    file: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// All numbers. What is read from the store is set when somebody asks.
pub struct Metrics {
    requests: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    pub connections: Counted,
    /// When the certificate ends, in seconds since 1970; where there is one.
    pub certificate: Family<Vec<(String, String)>, Gauge>,
    waiting: Gauge,
    store: Family<FileOf, Gauge>,
    ages: Family<Place, Seconds>,
    ready: Gauge,
    /// Held while the above are set and printed.
    registry: Mutex<Registry>,
}

impl Metrics {
    pub fn new(tally: &Tally) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BOUNDS)),
            connections: Counted::default(),
            certificate: Family::default(),
            waiting: Gauge::default(),
            store: Family::default(),
            ages: Family::default(),
            ready: Gauge::default(),
            registry: Mutex::default(),
        };
        let mut registry = Registry::default();
        metrics.register(&mut registry, tally);
        Self {
            registry: Mutex::new(registry),
            ..metrics
        }
    }

    fn register(&self, registry: &mut Registry, tally: &Tally) {
        let started = Seconds::default();
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 have 41 bits"
        )]
        started.set(clock::now() as f64 / 1000.0);
        registry.register_with_unit(
            "process_start_time",
            "When the receiver started, since 1970",
            Unit::Seconds,
            started,
        );
        registry.register_collector(Box::new(Process));
        let own = registry.sub_registry_with_prefix("afmetrics_receiver");
        own.register(
            "build",
            "What runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        own.register(
            "requests",
            "Requests that were answered; code 499: the client went away before",
            self.requests.clone(),
        );
        own.register_with_unit(
            "request_duration",
            "Time from a request's head to the head of its answer",
            Unit::Seconds,
            self.durations.clone(),
        );
        own.register(
            "documents",
            "Documents that were answered 200: stored, or repeated, that is stored before",
            tally.documents.clone(),
        );
        own.register(
            "late_documents",
            "Stored documents that came more than 5 minutes after they were collected",
            tally.late.clone(),
        );
        own.register_with_unit(
            "commit",
            "Time to make a group of requests durable",
            Unit::Seconds,
            tally.commits.clone(),
        );
        own.register_with_unit(
            "last_commit_time",
            "When the last group of requests was made durable, since 1970; 0: none since it started",
            Unit::Seconds,
            tally.last_commit.clone(),
        );
        own.register(
            "waiting_documents",
            "Documents that wait for the writer",
            self.waiting.clone(),
        );
        own.register(
            "connections",
            "Connections that are open",
            self.connections.open.clone(),
        );
        own.register(
            "failed_handshakes",
            "Connections that ended before TLS was agreed on",
            self.connections.no_tls.clone(),
        );
        own.register_with_unit(
            "certificate_expiry_time",
            "When the certificate ends, since 1970",
            Unit::Seconds,
            self.certificate.clone(),
        );
        own.register_with_unit(
            "store",
            "The store's files",
            Unit::Bytes,
            self.store.clone(),
        );
        own.register_with_unit(
            "newest_document_age",
            "Time since the newest document of a node, or without node; of the 2,000 nodes that were heard of last, within 31 days",
            Unit::Seconds,
            self.ages.clone(),
        );
        own.register(
            "ready",
            "1 if documents are taken, else 0",
            self.ready.clone(),
        );
    }

    fn set(&self, standing: &Standing, waiting: usize, now: i64) {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.waiting.set(whole(waiting as u64));
        self.ready.set(standing.ready.is_ok().into());
        for (file, bytes) in [("db", standing.store), ("wal", standing.log)] {
            self.store.get_or_create(&FileOf { file }).set(whole(bytes));
        }
        // Nodes that are gone are not to stay.
        self.ages.clear();
        for node in &standing.nodes {
            let place = Place {
                facility: node.facility.clone(),
                node: node.node.clone(),
            };
            #[expect(
                clippy::cast_precision_loss,
                reason = "milliseconds of 31 days have 32 bits"
            )]
            let age = (now - node.newest).max(0) as f64 / 1000.0;
            self.ages.get_or_create(&place).set(age);
        }
    }
}

/// Answers with all numbers.
pub async fn show(viewer: Viewer, State(app): State<Arc<App>>) -> Response {
    if viewer.0.facility.is_some() {
        return answer::error(
            StatusCode::FORBIDDEN,
            "/metrics is about all facilities: it needs a viewer's token of all (token create --viewer, without --facility)",
        );
    }
    let standing = app.standings.now(&app).await;
    let registry = app.metrics.registry.lock().await;
    app.metrics
        .set(&standing, app.store.waiting(), clock::now());
    let mut page = String::new();
    if text::encode(&mut page, &registry).is_err() {
        return answer::error(StatusCode::INTERNAL_SERVER_ERROR, "cannot be printed");
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, page).into_response()
}

/// Counts each answer, and has the log say what was refused.
pub async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let asked = Asked {
        method: name(request.method()),
        path: Cow::Owned(path.map_or("other", MatchedPath::as_str).to_owned()),
    };
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(peer)| peer.ip());
    counted(app, asked, peer, next.run(request)).await
}

/// The same of an answer that is made without the routes.
pub async fn counted(
    app: Arc<App>,
    asked: Asked,
    peer: Option<IpAddr>,
    answer: impl Future<Output = Response>,
) -> Response {
    let mut counting = Counting {
        app: Arc::clone(&app),
        began: Instant::now(),
        asked,
        code: GONE,
    };
    let response = answer.await;
    let status = response.status();
    let code = status.as_u16();
    counting.code = code;
    drop(counting);
    if is_news(status) {
        let said = response.extensions().get::<Refusal>().cloned();
        let refusal = said.unwrap_or(Refusal {
            why: status.canonical_reason().unwrap_or("refused"),
            facility: None,
        });
        let now = clock::now();
        let facility = refusal.facility.clone();
        app.store.refused(code, refusal.why, facility, now);
        app.refusals.note(code, refusal, peer, now);
    }
    response
}

/// The client went away before it was answered: nobody got this status.
const GONE: u16 = 499;

/// Counts a request when it is over, however that comes.
struct Counting {
    app: Arc<App>,
    began: Instant,
    asked: Asked,
    code: u16,
}

impl Drop for Counting {
    fn drop(&mut self) {
        let (metrics, took) = (&self.app.metrics, self.began.elapsed());
        let answered = Answered {
            method: self.asked.method,
            path: self.asked.path.clone(),
            code: self.code,
        };
        metrics.requests.get_or_create(&answered).inc();
        let durations = metrics.durations.get_or_create(&self.asked);
        durations.observe(took.as_secs_f64());
    }
}

/// What the system says of this process: time of processors, memory, open files.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let seconds = |time: TimeVal| {
                let part = u32::try_from(time.tv_usec()).map_or(0.0, f64::from);
                let whole = u32::try_from(time.tv_sec()).map_or(0.0, f64::from);
                whole + part / 1e6
            };
            let cpu = ConstCounter::new(seconds(usage.user_time()) + seconds(usage.system_time()));
            cpu.encode(encoder.encode_descriptor(
                "process_cpu",
                "Time of processors, of the user and of the system",
                Some(&Unit::Seconds),
                cpu.metric_type(),
            )?)?;
        }
        if let Some(bytes) = resident() {
            let memory = ConstGauge::new(bytes);
            memory.encode(encoder.encode_descriptor(
                "process_resident_memory",
                "Memory in use",
                Some(&Unit::Bytes),
                memory.metric_type(),
            )?)?;
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            let open = ConstGauge::new(i64::try_from(files.count()).unwrap_or(i64::MAX));
            open.encode(encoder.encode_descriptor(
                "process_open_fds",
                "Open files, connections among them",
                None,
                open.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

/// Bytes of memory, by a line such as `VmRSS: 12345 kB`.
fn resident() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kb: i64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kb * 1024)
}

/// Whether an administrator wants to know. Whoever looks for holes asks for what is not there all day.
fn is_news(status: StatusCode) -> bool {
    let is_error = status.is_client_error() || status.is_server_error();
    is_error && !matches!(status.as_u16(), 404 | 405)
}

/// One of few: anybody can make up methods.
fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    }
}
