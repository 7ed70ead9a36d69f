//! The environment of the process, as far as it counts.

use std::ffi::OsString;

use crate::secret;

/// How the variables begin that stand for flags.
pub const PREFIX: &str = "AFMETRICS_";

/// The variables of the environment that we read ourselves. (`KUBECONFIG` is kube's to read, the
/// proxies' variables are reqwest's.)
#[derive(Debug, Default, Clone)]
pub struct Environment {
    pub token: Option<OsString>,
    pub salt: Option<OsString>,
    /// The others of ours, which stand for flags.
    pub flags: Vec<(OsString, OsString)>,
    /// Where standard error goes, if that is systemd's journal.
    pub journal_stream: Option<OsString>,
    pub state_directory: Option<OsString>,
    pub xdg_state_home: Option<OsString>,
    pub home: Option<OsString>,
    pub path: Option<OsString>,
    /// What the tools of Slurm may see; others change what they print (`SQUEUE_STATES`, `SLURM_CLUSTERS`).
    pub for_slurm: Vec<(&'static str, OsString)>,
}

/// Where Slurm's tools find their programs, libraries and configuration, and what lets them in where that
/// is a token and no munge.
const FOR_SLURM: [&str; 5] = ["PATH", "HOME", "LD_LIBRARY_PATH", "SLURM_CONF", "SLURM_JWT"];

impl Environment {
    /// The environment of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads it; everything else gets it by argument"
    )]
    pub fn of_process() -> Self {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            token: var(secret::VARIABLES[0]),
            salt: var(secret::VARIABLES[1]),
            flags: std::env::vars_os()
                .filter(|(name, _)| {
                    let name = name.as_encoded_bytes();
                    name.starts_with(PREFIX.as_bytes())
                        && !secret::VARIABLES[..2]
                            .iter()
                            .any(|known| known.as_bytes() == name)
                })
                .collect(),
            journal_stream: var("JOURNAL_STREAM"),
            state_directory: var("STATE_DIRECTORY"),
            xdg_state_home: var("XDG_STATE_HOME"),
            home: var("HOME"),
            path: var("PATH"),
            for_slurm: FOR_SLURM
                .into_iter()
                .filter_map(|name| Some((name, var(name)?)))
                .collect(),
        }
    }
}
