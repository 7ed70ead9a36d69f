//! Endpoints, and who hears what: made from the flags, or from the tables of the file.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use afmetrics_document::names::{HostRule, Rules, Scheme, UserRule};
use anyhow::{Context as _, Result, bail};
use reqwest::Url;

use crate::cli::{EndpointFlags, Hash, Privacy, Protocol};
use crate::documents::Audience;
use crate::endpoint_url;
use crate::environment::Environment;
use crate::secret::{self, Secret};
use crate::spool::batch_name;

/// How documents are delivered.
#[derive(Clone)]
pub struct EndpointConfig {
    /// What the log and the metrics call it.
    pub name: String,
    pub url: Url,
    pub protocol: Protocol,
    /// Empty: none, which only metrics can do without.
    pub token: Secret,
    /// Documents a request; `None`: one, and not in an array.
    pub batch_size: Option<usize>,
    /// Pack long bodies.
    pub gzip: bool,
    /// A PEM file of further certificate authorities, and what is in it.
    pub ca: Option<(PathBuf, Vec<u8>)>,
    pub max_connections: usize,
    pub max_streams: usize,
    /// How long a request may take, from connecting to the end of the answer.
    pub patience: Duration,
    /// For a whole round.
    pub deliver_for: Duration,
}

/// Shows the URL without what is secret in it.
impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("url", &endpoint_url::without_password(self.url.as_str()))
            .finish_non_exhaustive()
    }
}

/// Endpoints, and who hears what of them, as they are checked one after the other.
#[derive(Default)]
pub struct Made {
    pub endpoints: Vec<EndpointConfig>,
    pub audiences: Vec<Audience>,
    pub rules: Vec<Rules>,
    pub secrets: Vec<Secret>,
    pub unstated_scheme: Option<Scheme>,
    pub remarks: Vec<String>,
    pub warnings: Vec<String>,
}

impl Made {
    /// Adds an endpoint, or who reads what is written instead of sent.
    pub fn add(&mut self, flags: &EndpointFlags, is_sent: bool, env: &Environment) -> Result<()> {
        let rules = self.rules(&flags.privacy, env)?;
        if is_sent {
            let endpoint = self.endpoint(flags, env)?;
            self.endpoints.push(endpoint);
        }
        self.rules.push(rules);
        self.audiences.push(Audience {
            kinds: (!flags.kinds.is_empty()).then(|| flags.kinds.clone()),
            group: flags.privacy.group.clone(),
            measures_only: flags.protocol == Protocol::Otlp,
        });
        Ok(())
    }

    /// Who asks at this node; the number of that audience.
    pub fn add_local(&mut self, privacy: &Privacy, env: &Environment) -> Result<usize> {
        let (remarks, warnings) = (self.remarks.len(), self.warnings.len());
        let rules = self.rules(privacy, env)?;
        // They have been said of the documents.
        self.remarks.truncate(remarks);
        self.warnings.truncate(warnings);
        self.rules.push(rules);
        self.audiences.push(Audience {
            kinds: None,
            group: privacy.group.clone(),
            measures_only: true,
        });
        Ok(self.audiences.len() - 1)
    }

    fn rules(&mut self, privacy: &Privacy, env: &Environment) -> Result<Rules> {
        if privacy.salt.is_some() {
            self.remarks.push(secret::on_command_line("salt"));
        }
        let salt = secret::read(
            "salt",
            privacy.salt.clone(),
            privacy.salt_file.as_deref(),
            env.salt.clone(),
        )?;
        self.secrets.extend(salt.iter().cloned());
        let users = user_rule(
            privacy.obfuscate_users,
            privacy.hash,
            salt,
            &mut self.warnings,
        )?;
        if let UserRule::Hashed { scheme, .. } = &users
            && privacy.hash.is_none()
        {
            self.unstated_scheme = Some(*scheme);
        }
        let hosts = match &privacy.obfuscate_hosts {
            Some(domain) if domain.trim().is_empty() => bail!("-O needs a domain (-O example.org)"),
            Some(domain) => HostRule::Digits {
                prefix: privacy.host_prefix.clone(),
                // The point between the two is ours.
                domain: domain.trim_start_matches('.').to_owned(),
            },
            None => HostRule::Clear,
        };
        Ok(Rules { users, hosts })
    }

    fn endpoint(&mut self, flags: &EndpointFlags, env: &Environment) -> Result<EndpointConfig> {
        let delivery = &flags.delivery;
        if delivery.token.is_some() {
            self.remarks.push(secret::on_command_line("token"));
        }
        let token = secret::read(
            "token",
            delivery.token.clone(),
            delivery.token_file.as_deref(),
            env.token.clone(),
        )?;
        if token.as_ref().is_some_and(secret::is_no_token) {
            bail!(
                "the token is blank, or has a line end or another control character in it: it is one line, and nothing else is in its file"
            );
        }
        let token = match token {
            None if flags.protocol == Protocol::Otlp => Secret::new(""),
            None if flags.place.is_empty() => bail!(
                "no token: give --token-file FILE (token_file in [delivery]), AFMETRICS_TOKEN in the environment, or -t TOKEN (-d and --print need none)"
            ),
            None => bail!("has no token_file"),
            Some(token) => token,
        };
        if !token.expose().is_empty() {
            self.secrets.push(token.clone());
        }
        let url = endpoint_url::checked(delivery.url.expose(), &mut self.warnings)?;
        self.secrets.extend(endpoint_url::secrets(&url));
        let host = url.host_str().unwrap_or_default().to_owned();
        Ok(EndpointConfig {
            name: flags.name.clone().unwrap_or(host),
            url,
            protocol: flags.protocol,
            token,
            batch_size: delivery.batch_size.map(|n| n as usize),
            // Every collector of metrics unpacks.
            gzip: delivery.gzip || flags.protocol == Protocol::Otlp,
            ca: delivery.ca_file.clone().map(read_ca_file).transpose()?,
            max_connections: delivery.max_connections.into(),
            max_streams: delivery.max_streams.into(),
            patience: Duration::from_secs(delivery.request_timeout.into()),
            deliver_for: Duration::from_secs(delivery.deliver_for.into()),
        })
    }

    /// What waits is told apart by where it goes.
    pub fn check_urls(&self) -> Result<()> {
        let mut seen: Vec<(String, &str)> = Vec::new();
        for endpoint in &self.endpoints {
            // Its files in the spool are called after it.
            let url = batch_name(&endpoint_url::without_password(endpoint.url.as_str()));
            if seen
                .iter()
                .any(|(known, name)| *known == url || *name == endpoint.name)
            {
                bail!(
                    "two [[endpoints]] have the same url or the same name, {}: what waits for one could not be told from what waits for the other",
                    endpoint.name
                );
            }
            seen.push((url, &endpoint.name));
        }
        Ok(())
    }
}

/// What a salt or a hash without `-o` is worth a line.
pub const NOTHING_HASHED: &str =
    "a salt or --hash has no effect without -o: user names leave as they are";

fn user_rule(
    hide: bool,
    hash: Option<Hash>,
    salt: Option<Secret>,
    warnings: &mut Vec<String>,
) -> Result<UserRule> {
    if !hide {
        if hash.is_some() || salt.is_some() {
            warnings.push(NOTHING_HASHED.to_owned());
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

fn read_ca_file(path: PathBuf) -> Result<(PathBuf, Vec<u8>)> {
    let pem = fs::read(&path).with_context(|| {
        format!(
            "cannot read the certificates of --ca-file {}",
            path.display()
        )
    })?;
    Ok((path, pem))
}
