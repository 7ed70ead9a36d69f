//! The configuration file: its tables, and which flag each option is.

use afmetrics_settings::{Layout, Row, Shown, Table, row};
use clap::CommandFactory as _;

use crate::cli::{EndpointFlags, NotebookFlags};

/// The list of endpoints.
pub const ENDPOINTS: &str = "endpoints";
/// The list of places where notebooks run.
pub const NOTEBOOKS: &str = "jupyter.sources";

/// Every table of the file, and which flag each option is.
pub const LAYOUT: Layout = Layout {
    about: "What afmetrics_collector collects, and where it goes.\n\
            \n\
            As it stands it changes nothing: take the # away from an option that is to be otherwise. \
            Flags win over variables of the environment (AFMETRICS_BATCH_SIZE is --batch-size), these over this \
            file. `afmetrics_collector check` reads it and tries everything; a running daemon reads it again at \
            SIGHUP (systemctl reload afmetrics_collector).",
    tables: &[
        Table {
            name: "",
            is_list: false,
            about: "",
            command: None,
            options: &[
                row("facility", "cluster", Shown::Default),
                row(
                    "login_node",
                    "login_node",
                    Shown::Example("\"login01.example.org\""),
                ),
                row("heartbeat", "heartbeat", Shown::Default),
                row("silence_secs", "silence", Shown::Default),
                row("deadline_secs", "deadline", Shown::Default),
            ],
        },
        Table {
            name: "daemon",
            is_list: false,
            about: "For `afmetrics_collector run`.",
            command: None,
            options: &[
                row("interval_secs", "interval", Shown::Default),
                row("listen", "listen", Shown::Example("\"127.0.0.1:19469\"")),
            ],
        },
        Table {
            name: "ssh",
            is_list: false,
            about: "Who is logged in.",
            command: None,
            options: &[
                row("enabled", "ssh", Shown::Default),
                row("history", "ssh_history", Shown::Default),
                row("deadline_secs", "ssh_deadline", Shown::Example("120")),
            ],
        },
        Table {
            name: "batch",
            is_list: false,
            about: "Jobs of HTCondor and Slurm.",
            command: None,
            options: &[
                row("enabled", "batch", Shown::Default),
                row("slurm", "slurm", Shown::Default),
                row(
                    "exclude_owners",
                    "exclude_owner",
                    Shown::DefaultIs("[\"atlas-coffea\"]"),
                ),
                row(
                    "queues",
                    "queue",
                    Shown::Example("[\"all:\", \"short:MaxRuntime < 3600\"]"),
                ),
                row("queue_totals", "queue_totals", Shown::Default),
                row(
                    "schedds",
                    "schedd",
                    Shown::Example("[\"schedd01.example.org\"]"),
                ),
                row("pool", "pool", Shown::Example("\"cm.example.org\"")),
                row("no_queued_jobs", "no_queued_jobs", Shown::Default),
                row("runtime", "runtime", Shown::Default),
                row("job_details", "job_details", Shown::Default),
                row("removed_jobs", "removed_jobs", Shown::Default),
                row("deadline_secs", "batch_deadline", Shown::Example("120")),
            ],
        },
        Table {
            name: "host",
            is_list: false,
            about: "Load, memory, network and disks of this node.",
            command: None,
            options: &[
                row("enabled", "host", Shown::Default),
                row(
                    "mounts",
                    "mount",
                    Shown::DefaultIs("[\"/home\", \"/data\", \"/scratch\"]"),
                ),
                row("root", "root", Shown::Default),
                row("deadline_secs", "host_deadline", Shown::Example("120")),
            ],
        },
        Table {
            name: "jupyter",
            is_list: false,
            about: "Who has a notebook in Kubernetes.",
            command: None,
            options: &[
                row("enabled", "jupyter", Shown::Default),
                row(
                    "exclude_finished_pods",
                    "exclude_finished_pods",
                    Shown::Default,
                ),
                row("deadline_secs", "jupyter_deadline", Shown::Example("120")),
            ],
        },
        Table {
            name: NOTEBOOKS,
            is_list: true,
            about: "A namespace with notebooks; any number of them. One is enough to replace the two that are read \
                    by default: af-jupyter with label owner, and coffea-casa with label jhub_user as kind \
                    jupyter-coffea, which may be missing.",
            command: Some(NotebookFlags::command),
            options: &[
                row("namespace", "namespace", Shown::Example("\"af-jupyter\"")),
                row("label", "label", Shown::Default),
                row("kind", "kind", Shown::Default),
                row("optional", "optional", Shown::Default),
            ],
        },
        Table {
            name: "privacy",
            is_list: false,
            about: "How names leave; an endpoint can say otherwise.",
            command: None,
            options: PRIVACY,
        },
        Table {
            name: "delivery",
            is_list: false,
            about: "Where documents go, and how; an endpoint can say otherwise.",
            command: None,
            options: DELIVERY,
        },
        Table {
            name: ENDPOINTS,
            is_list: true,
            about: "Several endpoints at once. What one of them does not say here, [delivery] and [privacy] say \
                    for it, except url and token_file, which then stand here only. Each gets every document of \
                    the kinds that it names (all, if it names none), with names as it says; one that is away \
                    keeps none of the others waiting.",
            command: Some(EndpointFlags::command),
            options: &ENDPOINT,
        },
        Table {
            name: "spool",
            is_list: false,
            about: "What waits for delivery.",
            command: None,
            options: &[
                row(
                    "state_dir",
                    "state_dir",
                    Shown::Example("\"/var/lib/afmetrics\""),
                ),
                row("max_size_mib", "spool_max_size", Shown::DefaultIs("256")),
                row("max_age_days", "spool_max_age", Shown::DefaultIs("14")),
            ],
        },
        Table {
            name: "log",
            is_list: false,
            about: "",
            command: None,
            options: &[
                row("level", "log_level", Shown::Default),
                row(
                    "textfile",
                    "textfile",
                    Shown::Example("\"/var/lib/node_exporter/afmetrics.prom\""),
                ),
            ],
        },
    ],
};

const PRIVACY: &[Row] = &[
    row("obfuscate_users", "obfuscate_users", Shown::Default),
    row("hash", "hash", Shown::DefaultIs("\"md5\"")),
    row(
        "salt_file",
        "salt_file",
        Shown::Example("\"/etc/afmetrics/salt\""),
    ),
    row(
        "obfuscate_hosts",
        "obfuscate_hosts",
        Shown::Example("\"example.org\""),
    ),
    row("host_prefix", "host_prefix", Shown::Default),
    row("group", "group", Shown::Example("\"atlas\"")),
];

const DELIVERY: &[Row] = &[
    row("url", "url", Shown::Default),
    row(
        "token_file",
        "token_file",
        Shown::Example("\"/etc/afmetrics/token\""),
    ),
    row(
        "ca_file",
        "ca_file",
        Shown::Example("\"/etc/afmetrics/ca.pem\""),
    ),
    row("batch_size", "batch_size", Shown::Example("500")),
    row("gzip", "gzip", Shown::Default),
    row("max_connections", "max_connections", Shown::Default),
    row("max_streams", "max_streams", Shown::Default),
    row("request_timeout_secs", "request_timeout", Shown::Default),
    row("deliver_for_secs", "deliver_for", Shown::Default),
];

/// Its own options, then those of both tables.
const ENDPOINT: [Row; 18] = [
    row("name", "name", Shown::Example("\"shared\"")),
    row("protocol", "protocol", Shown::Default),
    row(
        "kinds",
        "kinds",
        Shown::Example("[\"ssh\", \"jupyter-ml\", \"condorjob\"]"),
    ),
    DELIVERY[0],
    DELIVERY[1],
    DELIVERY[2],
    DELIVERY[3],
    DELIVERY[4],
    DELIVERY[5],
    DELIVERY[6],
    DELIVERY[7],
    DELIVERY[8],
    PRIVACY[0],
    PRIVACY[1],
    PRIVACY[2],
    PRIVACY[3],
    PRIVACY[4],
    PRIVACY[5],
];
