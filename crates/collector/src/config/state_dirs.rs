//! Where state may be kept.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Asked;
use crate::environment::Environment;
use crate::state::StateDir;

/// Where state may be: the folder that was asked for, or else ours, best first.
pub fn state_dirs(named: Option<PathBuf>, env: &Environment, root: &Path) -> Asked<Vec<StateDir>> {
    let named = named.map(|path| StateDir {
        path,
        rule: "the folder of --state-dir",
    });
    Asked::or_default(named.into_iter().collect(), default_state_dirs(env, root))
}

fn default_state_dirs(env: &Environment, root: &Path) -> Vec<StateDir> {
    let services = env
        .state_directory
        .as_ref()
        .and_then(|dirs| std::env::split_paths(dirs).next());
    let below = |folder: &Option<OsString>, rest| Some(Path::new(folder.as_ref()?).join(rest));
    [
        (services, "$STATE_DIRECTORY"),
        (Some(root.join("var/lib/afmetrics")), "/var/lib/afmetrics"),
        (
            below(&env.xdg_state_home, "afmetrics"),
            "$XDG_STATE_HOME/afmetrics",
        ),
        (
            below(&env.home, ".local/state/afmetrics"),
            "~/.local/state/afmetrics",
        ),
    ]
    .into_iter()
    .filter_map(|(path, rule)| Some(StateDir { path: path?, rule }))
    .collect()
}
