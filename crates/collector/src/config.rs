//! What one round is to do, checked: made from the flags and the environment, and the only thing
//! that the rest of the program asks.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afmetrics_document::Publisher;
use afmetrics_document::names::{HostRule, Scheme, UserRule};
use anyhow::{Context as _, Result, bail};
use reqwest::Url;

use crate::cli::{Cli, Hash};

/// A token or a salt. It can be used, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The variables of the environment that we read ourselves. (`KUBECONFIG` is kube's to read, the
/// proxies' variables are reqwest's.)
#[derive(Debug, Default, Clone)]
pub struct Environment {
    pub token: Option<OsString>,
    pub salt: Option<OsString>,
    pub state_directory: Option<OsString>,
    pub xdg_state_home: Option<OsString>,
    pub home: Option<OsString>,
}

/// Variables that hold a secret: no child process inherits them.
pub const SECRET_VARIABLES: [&str; 2] = ["AFMETRICS_TOKEN", "AFMETRICS_SALT"];

impl Environment {
    /// The environment of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads it; everything else gets it by argument"
    )]
    pub fn of_process() -> Self {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            token: var(SECRET_VARIABLES[0]),
            salt: var(SECRET_VARIABLES[1]),
            state_directory: var("STATE_DIRECTORY"),
            xdg_state_home: var("XDG_STATE_HOME"),
            home: var("HOME"),
        }
    }
}

/// Where a round's documents go.
#[derive(Debug, Clone)]
pub enum Target {
    /// To the endpoint, over HTTP.
    Endpoint(Box<EndpointConfig>),
    /// `-d`: appended to files in the current directory.
    Files,
    /// `--print`: to standard output.
    Print,
}

/// How documents are delivered.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    pub url: Url,
    pub token: Secret,
    /// Documents a request; `None`: one, and not in an array.
    pub batch_size: Option<usize>,
    /// A PEM file of further certificate authorities, and what is in it.
    pub ca: Option<(PathBuf, Vec<u8>)>,
    pub max_connections: usize,
    pub max_streams: usize,
    /// How long a request may take, from connecting to the end of the answer.
    pub patience: Duration,
}

/// One `-q`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    /// A ClassAd expression; `None`: all jobs.
    pub constraint: Option<String>,
}

/// A value, and whether somebody asked for it or it is our default. A default that is not there is
/// no failure; what somebody asked for and is not there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<T> {
    pub value: T,
    pub by_name: bool,
}

impl<T> Asked<Vec<T>> {
    fn or_default(given: Vec<T>, default: impl IntoIterator<Item = T>) -> Self {
        Self {
            by_name: !given.is_empty(),
            value: if given.is_empty() {
                default.into_iter().collect()
            } else {
                given
            },
        }
    }
}

/// A place where state may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    pub path: PathBuf,
    /// How it came to be one, for where the path must not be shown: it can name a user.
    pub rule: &'static str,
}

/// How long a source may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Without a byte from it.
    pub silence: Duration,
    /// In all.
    pub total: Duration,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub ssh: bool,
    pub ssh_history: bool,
    pub jupyter: bool,
    pub batch: bool,
    pub host: bool,
    pub namespace: Asked<String>,
    pub label: Label,
    pub exclude_finished_pods: bool,
    pub queues: Vec<Queue>,
    pub excluded_owners: Vec<String>,
    pub mounts: Asked<Vec<String>>,
    pub cluster: String,
    pub publisher: Publisher,
    /// How users are hashed, where no `--hash` said it: the round's line names it.
    pub unstated_scheme: Option<Scheme>,
    pub group: Option<String>,
    pub login_node: Option<String>,
    /// Where state may be kept, best first, and whether the first was asked for by name.
    pub state_dirs: Asked<Vec<StateDir>>,
    pub limits: Limits,
    pub root: PathBuf,
    pub target: Target,
    /// All secrets, for keeping them out of quoted text.
    pub secrets: Vec<Secret>,
    /// What to say once the log is open, at INFO.
    pub remarks: Vec<String>,
    /// The same, at WARN.
    pub warnings: Vec<String>,
}

/// A Kubernetes label selector, and the label in it whose value is the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub selector: String,
    pub key: String,
}

impl Label {
    /// The key is what the selector begins with: `owner`, `owner=x`, `owner in (x, y),app!=z`.
    pub fn parse(selector: &str) -> Result<Self> {
        let selector = selector.trim();
        let end = selector
            .find(|c: char| c.is_whitespace() || "=!,()".contains(c))
            .unwrap_or(selector.len());
        if end == 0 {
            bail!("-l {selector:?} does not begin with the label that names the user (-l owner)");
        }
        Ok(Self {
            selector: selector.to_owned(),
            key: selector[..end].to_owned(),
        })
    }
}

impl Queue {
    /// `NAME:CONSTRAINT`; only the first colon separates, the constraint may have others.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((name, constraint)) = text.split_once(':') else {
            bail!(
                "-q {text:?} has no colon: it takes NAME:CONSTRAINT, or {text}: for all jobs under that name"
            );
        };
        if name.trim().is_empty() {
            bail!("-q {text:?} has no name before the colon: it takes NAME:CONSTRAINT");
        }
        let constraint = constraint.trim();
        Ok(Self {
            name: name.trim().to_owned(),
            constraint: (!constraint.is_empty()).then(|| constraint.to_owned()),
        })
    }
}

impl Config {
    /// Checks the flags. Errors are one sentence that says what to do; they are exit status 2.
    pub fn new(cli: Cli, env: Environment) -> Result<Self> {
        let mut remarks = Vec::new();
        let mut warnings = Vec::new();
        let default_state_dirs = default_state_dirs(&env, &cli.root);
        let named_state_dir = cli.state_dir.map(|path| StateDir {
            path,
            rule: "the folder of --state-dir",
        });
        let named_state_dir = named_state_dir.into_iter().collect();
        let ssh = cli.ssh || cli.ssh_history;
        if !(ssh || cli.jupyter || cli.batch || cli.host) {
            bail!(
                "nothing to collect: choose at least one of -s (ssh), -S (ssh with history), -j (Jupyter), -b (batch), --host"
            );
        }
        let queues = cli
            .queue
            .iter()
            .map(|queue| Queue::parse(queue))
            .collect::<Result<Vec<_>>>()?;
        if !queues.is_empty() && !cli.batch {
            warnings.push("-q has no effect without -b".to_owned());
        }

        if cli.salt.is_some() {
            remarks.push(on_command_line("salt"));
        }
        let salt = secret("salt", cli.salt, cli.salt_file.as_deref(), env.salt)?;
        let mut secrets: Vec<Secret> = salt.iter().cloned().collect();
        let users = user_rule(cli.obfuscate_users, cli.hash, salt, &mut warnings)?;
        let unstated_scheme = match &users {
            UserRule::Hashed { scheme, .. } if cli.hash.is_none() => Some(*scheme),
            _ => None,
        };
        let hosts = match cli.obfuscate_hosts {
            Some(domain) if domain.trim().is_empty() => bail!("-O needs a domain (-O example.org)"),
            Some(domain) => HostRule::Digits {
                prefix: cli.host_prefix,
                domain,
            },
            None => HostRule::Clear,
        };

        let target = if cli.debug {
            Target::Files
        } else if cli.print {
            Target::Print
        } else {
            if cli.token.is_some() {
                remarks.push(on_command_line("token"));
            }
            let token = secret("token", cli.token, cli.token_file.as_deref(), env.token)?;
            let Some(token) = token else {
                bail!(
                    "no token: give --token-file FILE, AFMETRICS_TOKEN in the environment, or -t TOKEN (-d and --print need none)"
                );
            };
            secrets.push(token.clone());
            let url = endpoint_url(&cli.url, &mut warnings)?;
            secrets.extend(url.password().map(Secret::new));
            Target::Endpoint(Box::new(EndpointConfig {
                url,
                token,
                batch_size: cli.batch_size.map(|n| n as usize),
                ca: cli.ca_file.map(read_ca_file).transpose()?,
                max_connections: cli.max_connections.into(),
                max_streams: cli.max_streams.into(),
                patience: Duration::from_secs(cli.request_timeout.into()),
            }))
        };

        Ok(Self {
            ssh,
            ssh_history: cli.ssh_history,
            jupyter: cli.jupyter,
            batch: cli.batch,
            host: cli.host,
            namespace: Asked {
                by_name: cli.namespace.is_some(),
                value: cli.namespace.unwrap_or_else(|| "af-jupyter".to_owned()),
            },
            label: Label::parse(&cli.label)?,
            exclude_finished_pods: cli.exclude_finished_pods,
            queues,
            excluded_owners: if cli.exclude_owner.is_empty() {
                vec!["atlas-coffea".to_owned()]
            } else {
                cli.exclude_owner
            },
            mounts: Asked::or_default(cli.mount, ["/home", "/data", "/scratch"].map(String::from)),
            cluster: cli.cluster,
            publisher: Publisher::new(users, hosts),
            unstated_scheme,
            group: cli.group,
            login_node: cli.login_node,
            state_dirs: Asked::or_default(named_state_dir, default_state_dirs),
            limits: Limits {
                silence: Duration::from_secs(cli.silence.into()),
                total: Duration::from_secs(cli.deadline.into()),
            },
            root: cli.root,
            target,
            secrets,
            remarks,
            warnings,
        })
    }
}

fn on_command_line(what: &str) -> String {
    format!(
        "the {what} stands on the command line, where every user of this node can read it (ps): \
         prefer --{what}-file or AFMETRICS_{}",
        what.to_uppercase()
    )
}

/// A secret by flag, file or environment, in that order. Empty is as good as none.
fn secret(
    what: &str,
    flag: Option<String>,
    file: Option<&Path>,
    env: Option<OsString>,
) -> Result<Option<Secret>> {
    let text = if let Some(flag) = flag {
        flag
    } else if let Some(file) = file {
        let text = fs::read_to_string(file)
            .with_context(|| format!("cannot read the {what} from {}", file.display()))?;
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            bail!("the {what} file {} is empty", file.display());
        }
        text.to_owned()
    } else if let Some(env) = env {
        let Ok(text) = env.into_string() else {
            bail!("AFMETRICS_{} is not UTF-8", what.to_uppercase());
        };
        text
    } else {
        return Ok(None);
    };
    Ok((!text.is_empty()).then(|| Secret::new(text)))
}

fn user_rule(
    hide: bool,
    hash: Option<Hash>,
    salt: Option<Secret>,
    warnings: &mut Vec<String>,
) -> Result<UserRule> {
    if !hide {
        if hash.is_some() || salt.is_some() {
            warnings.push(
                "a salt or --hash has no effect without -o: user names leave as they are"
                    .to_owned(),
            );
        }
        return Ok(UserRule::Clear);
    }
    let scheme = match hash.unwrap_or(Hash::Md5) {
        Hash::Md5 => Scheme::Md5,
        Hash::Sha256 => Scheme::Sha256,
        Hash::HmacSha256 => Scheme::HmacSha256,
    };
    let salt = salt
        .map(|salt| salt.expose().to_owned())
        .unwrap_or_default();
    if scheme == Scheme::HmacSha256 && salt.is_empty() {
        bail!("--hash hmac-sha256 needs a salt: give --salt-file FILE or AFMETRICS_SALT");
    }
    Ok(UserRule::Hashed { scheme, salt })
}

fn endpoint_url(text: &str, warnings: &mut Vec<String>) -> Result<Url> {
    let shown = without_password(text);
    let url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => url,
        Ok(_) => bail!("-u {shown:?} is no URL of an endpoint: it begins with https://"),
        Err(why) => bail!("-u {shown:?} is no URL of an endpoint ({why}): it begins with https://"),
    };
    if url.scheme() == "http" && !is_loopback(&url) {
        warnings.push(format!(
            "{} is not encrypted: the token and all names can be read on the way; use https://",
            without_password(url.as_str())
        ));
    }
    Ok(url)
}

/// Whether a URL's host is this machine by its literal name or address.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A URL as it may be shown: without user, password, query and fragment. Works on what is no URL,
/// too: there, all before the last `@` may belong to a password.
pub fn without_password(text: &str) -> String {
    if let Ok(mut url) = Url::parse(text)
        && url.has_host()
        && url.set_username("").is_ok()
        && url.set_password(None).is_ok()
    {
        url.set_query(None);
        url.set_fragment(None);
        return url.into();
    }
    let rest = text.rsplit('@').next().unwrap_or_default();
    rest.split(['?', '#']).next().unwrap_or_default().to_owned()
}

fn read_ca_file(path: PathBuf) -> Result<(PathBuf, Vec<u8>)> {
    let pem = fs::read(&path).with_context(|| {
        format!(
            "cannot read the certificates of --ca-file {}",
            path.display()
        )
    })?;
    Ok((path, pem))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_no_password() {
        for (url, shown) in [
            ("https://example.org", "https://example.org/"),
            (
                "https://u:s3cret@example.org:8443/a/b?c=s3cret#d",
                "https://example.org:8443/a/b",
            ),
            ("https:/u:s3cret@example.org/", "https://example.org/"),
            ("https://example.org/a@b", "https://example.org/a@b"),
            ("https://u:s3/cret@example.org/", "example.org/"),
            ("https://u:s3?cret@example.org/", "example.org/"),
            ("u:s3cret@example.org", "example.org"),
            ("htps:/u:s3cret@example.org/a", "example.org/a"),
            ("/?token=s3cret", "/"),
            ("", ""),
        ] {
            assert_eq!(without_password(url), shown, "{url}");
        }
    }

    #[test]
    fn plain_http_is_warned_of_unless_it_is_to_this_machine() {
        for (url, is_warned_of) in [
            ("http://192.0.2.1/", true),
            ("http://u:s3cret@collector.example.org:8080/in", true),
            ("http://localhost.example.org/", true),
            ("http://[2001:db8::1]/", true),
            ("http://127.0.0.1:8080/", false),
            ("http://127.0.0.9/", false),
            ("http://[::1]:8080/", false),
            ("http://localhost/", false),
            ("HTTP://LOCALHOST/", false),
            ("https://192.0.2.1/", false),
        ] {
            let mut warnings = Vec::new();
            endpoint_url(url, &mut warnings).unwrap();
            assert_eq!(!warnings.is_empty(), is_warned_of, "{url}: {warnings:?}");
            assert!(!warnings.concat().contains("s3cret"), "{warnings:?}");
        }
    }

    #[test]
    fn what_is_no_url_of_an_endpoint_is_refused_without_its_password() {
        for url in [
            "",
            "example.org",
            "example.org:8443",
            "u:s3cret@example.org",
            "//u:s3cret@example.org/",
            "ftp://u:s3cret@example.org/",
            "https://",
            "https://u:s3/cret@example.org/",
            "file:///etc/passwd",
        ] {
            let why = endpoint_url(url, &mut Vec::new()).unwrap_err().to_string();
            assert!(why.contains("https://"), "{url}: {why}");
            assert!(!why.contains("s3"), "{url}: {why}");
        }
    }
}
