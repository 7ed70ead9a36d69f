//! Published names: user and host names as they may leave the site.
//!
//! A [`Publisher`] is made once from the site's rules; only it can make a [`PublishedUser`] or a
//! [`PublishedHost`], and a [`crate::Document`] takes no other name.

use std::fmt;

use md5::{Digest as _, Md5};
use ring::{digest, hmac};
use serde::{Serialize, Serializer};

/// A user's name as it may leave: clear, or hashed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PublishedUser(String);

/// A host's name as it may leave: clear, or reduced to a prefix, its digits and a domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublishedHost(String);

impl Serialize for PublishedHost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl PublishedUser {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PublishedHost {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a user name is hashed under `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// The last 8 hex digits of MD5(salt + name): what the facilities' manual documents.
    Md5,
    /// The first 8 hex digits of SHA-256(salt + name): what the old script does in the field.
    Sha256,
    /// The first 16 hex digits of HMAC-SHA-256, key = salt: the one to recommend.
    HmacSha256,
}

impl Scheme {
    /// The scheme in words, for the log.
    pub fn describe(self) -> &'static str {
        match self {
            Scheme::Md5 => "the last 8 hex digits of MD5(salt + name)",
            Scheme::Sha256 => "the first 8 hex digits of SHA-256(salt + name)",
            Scheme::HmacSha256 => "the first 16 hex digits of HMAC-SHA-256(salt, name)",
        }
    }
}

/// What is done to a user's name before it leaves.
#[derive(Clone)]
pub enum UserRule {
    Clear,
    Hashed { scheme: Scheme, salt: String },
}

/// Never shows the salt.
impl fmt::Debug for UserRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserRule::Clear => f.write_str("Clear"),
            UserRule::Hashed { scheme, .. } => write!(f, "Hashed({scheme:?})"),
        }
    }
}

/// What is done to a host's name before it leaves.
#[derive(Debug, Clone)]
pub enum HostRule {
    Clear,
    /// `prefix` + all digits of the name + `.` + `domain`.
    Digits {
        prefix: String,
        domain: String,
    },
}

/// The site's rules for names, and the only maker of published names.
#[derive(Debug, Clone)]
pub struct Publisher {
    users: UserRule,
    hosts: HostRule,
}

impl Publisher {
    pub fn new(users: UserRule, hosts: HostRule) -> Self {
        Self { users, hosts }
    }

    /// Whether user names leave hashed.
    pub fn hides_users(&self) -> bool {
        matches!(self.users, UserRule::Hashed { .. })
    }

    /// Whether host names leave reduced.
    pub fn hides_hosts(&self) -> bool {
        matches!(self.hosts, HostRule::Digits { .. })
    }

    pub fn user(&self, name: &str) -> PublishedUser {
        PublishedUser(match &self.users {
            UserRule::Clear => name.to_owned(),
            UserRule::Hashed { scheme, salt } => hash(*scheme, salt, name),
        })
    }

    pub fn host(&self, name: &str) -> PublishedHost {
        PublishedHost(match &self.hosts {
            HostRule::Clear => name.to_owned(),
            HostRule::Digits { prefix, domain } => {
                let digits: String = name.chars().filter(char::is_ascii_digit).collect();
                format!("{prefix}{digits}.{domain}")
            }
        })
    }

    /// The name of a schedd: a host's, or `WHICH@HOST`, where WHICH is a user on a pool of his own. So it is
    /// hashed where users are; where hosts are reduced, the whole name is, as WHICH can be named after the
    /// host, too.
    pub fn schedd(&self, name: &str) -> PublishedHost {
        match name.rsplit_once('@') {
            Some((which, host)) if self.hides_users() && !self.hides_hosts() => {
                PublishedHost(format!("{}@{host}", self.user(which).0))
            }
            _ => self.host(name),
        }
    }
}

fn hash(scheme: Scheme, salt: &str, name: &str) -> String {
    match scheme {
        Scheme::Md5 => {
            let sum = Md5::new().chain_update(salt).chain_update(name).finalize();
            hex(&sum[12..])
        }
        Scheme::Sha256 => {
            let mut context = digest::Context::new(&digest::SHA256);
            context.update(salt.as_bytes());
            context.update(name.as_bytes());
            hex(&context.finish().as_ref()[..4])
        }
        Scheme::HmacSha256 => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, salt.as_bytes());
            hex(&hmac::sign(&key, name.as_bytes()).as_ref()[..8])
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(scheme: Scheme, salt: &str, name: &str) -> String {
        let rule = UserRule::Hashed {
            scheme,
            salt: salt.to_owned(),
        };
        Publisher::new(rule, HostRule::Clear).user(name).0
    }

    /// Values by `printf %s NAME | md5sum`, `sha256sum`, and `openssl dgst -sha256 -hmac SALT`.
    #[test]
    fn hashes_are_those_of_the_command_line_tools() {
        assert_eq!(hashed(Scheme::Md5, "", "canary-1"), "6495518e");
        assert_eq!(hashed(Scheme::Md5, "pepper", "canary-1"), "d0a52e8d");
        assert_eq!(hashed(Scheme::Sha256, "pepper", "canary-1"), "af7af1f4");
        assert_eq!(
            hashed(Scheme::HmacSha256, "pepper", "canary-1"),
            "52aa64ac3cf6708c"
        );
    }

    #[test]
    fn a_host_keeps_its_digits_only() {
        let rule = HostRule::Digits {
            prefix: "atlas".into(),
            domain: "bnl.gov".into(),
        };
        let publisher = Publisher::new(UserRule::Clear, rule);
        assert_eq!(
            publisher.host("condor123.example.edu").as_str(),
            "atlas123.bnl.gov"
        );
        assert_eq!(publisher.host("gateway").as_str(), "atlas.bnl.gov");
        assert_eq!(publisher.host("a1-b2.c3").as_str(), "atlas123.bnl.gov");
    }

    #[test]
    fn a_schedds_name_hides_the_user_or_the_host_in_it() {
        let md5 = || UserRule::Hashed {
            scheme: Scheme::Md5,
            salt: String::new(),
        };
        let digits = || HostRule::Digits {
            prefix: "atlas".into(),
            domain: "bnl.gov".into(),
        };
        let name = "canary-1@login02.canary.example";
        for (users, hosts, published) in [
            (UserRule::Clear, HostRule::Clear, name),
            (md5(), HostRule::Clear, "6495518e@login02.canary.example"),
            (UserRule::Clear, digits(), "atlas102.bnl.gov"),
            (md5(), digits(), "atlas102.bnl.gov"),
        ] {
            let publisher = Publisher::new(users, hosts);
            assert_eq!(publisher.schedd(name).as_str(), published);
        }
        let publisher = Publisher::new(md5(), HostRule::Clear);
        assert_eq!(
            publisher.schedd("a.canary.example").as_str(),
            "a.canary.example"
        );
    }

    #[test]
    fn a_salt_is_never_shown() {
        let rule = UserRule::Hashed {
            scheme: Scheme::Md5,
            salt: "pepper".into(),
        };
        let publisher = Publisher::new(rule, HostRule::Clear);
        assert!(!format!("{publisher:?}").contains("pepper"));
    }
}
