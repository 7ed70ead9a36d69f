//! Published names: user and host names as they may leave the site.
//!
//! A [`Publisher`] is made once from the site's rules; only it can make a [`PublishedUser`] or a
//! [`PublishedHost`], and a [`crate::Document`] takes no other name.
//!
//! Documents may go to several endpoints, each with its own rules: an *audience*. So a published name is
//! one name for each audience, or none where that one is not to hear of it; which of them is written is
//! decided when a document is made for one audience ([`crate::Document::heard_by`]), and there is no other
//! way to write one.

use std::fmt;
use std::sync::Arc;

use md5::{Digest as _, Md5};
use ring::{digest, hmac};

/// A user's name as each audience may hear it: clear, hashed, or not at all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishedUser {
    forms: Forms,
    /// Audiences of which nobody could say whether they are to hear of the user; hardly ever any.
    unknown_to: Option<Arc<[usize]>>,
}

/// A host's name, or that of a device that may name one, as each audience may hear it: clear, reduced to a
/// prefix, its digits and a domain, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishedHost(Forms);

impl PublishedUser {
    /// The name for this audience; `None`: it is not to hear of the user, or nobody knows whether it is
    /// ([`PublishedUser::may_be_heard_by`]).
    pub fn heard_by(&self, audience: usize) -> Option<&str> {
        self.forms.heard_by(audience)
    }

    /// Whether this audience is to hear of the user; `None`: that could not be found out.
    pub fn may_be_heard_by(&self, audience: usize) -> Option<bool> {
        let unknown = self.unknown_to.as_ref();
        match unknown.is_some_and(|all| all.contains(&audience)) {
            true => None,
            false => Some(self.heard_by(audience).is_some()),
        }
    }
}

/// As the log may show it.
impl fmt::Debug for PublishedUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.forms.fmt(f)
    }
}

impl PublishedHost {
    /// The name as the log may show it: as the most reserved audience hears it.
    pub fn as_str(&self) -> &str {
        self.0.heard_by(self.0.shown).unwrap_or_default()
    }

    /// The name for this audience.
    pub fn heard_by(&self, audience: usize) -> Option<&str> {
        self.0.heard_by(audience)
    }
}

/// A name in the form for each audience.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Forms {
    each: Arc<[Option<Box<str>>]>,
    /// The audience whose form the log may show.
    shown: usize,
}

/// As the log may show it.
impl fmt::Debug for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.heard_by(self.shown).fmt(f)
    }
}

impl Forms {
    fn heard_by(&self, audience: usize) -> Option<&str> {
        self.each.get(audience)?.as_deref()
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

/// What is done to names before they leave for one audience.
#[derive(Debug, Clone)]
pub struct Rules {
    pub users: UserRule,
    pub hosts: HostRule,
}

impl Rules {
    /// Whether user names leave hashed.
    pub fn hides_users(&self) -> bool {
        matches!(self.users, UserRule::Hashed { .. })
    }

    /// Whether host names leave reduced.
    pub fn hides_hosts(&self) -> bool {
        matches!(self.hosts, HostRule::Digits { .. })
    }

    fn user(&self, name: &str) -> String {
        match &self.users {
            UserRule::Clear => name.to_owned(),
            UserRule::Hashed { scheme, salt } => hash(*scheme, salt, name),
        }
    }

    fn host(&self, name: &str) -> String {
        match &self.hosts {
            HostRule::Clear => name.to_owned(),
            HostRule::Digits { prefix, domain } => {
                let digits: String = name.chars().filter(char::is_ascii_digit).collect();
                format!("{prefix}{digits}.{domain}")
            }
        }
    }

    fn schedd(&self, name: &str) -> String {
        match name.rsplit_once('@') {
            Some((which, host)) if self.hides_users() && !self.hides_hosts() => {
                format!("{}@{host}", self.user(which))
            }
            _ => self.host(name),
        }
    }
}

/// The site's rules for names, for each audience, and the only maker of published names.
#[derive(Debug, Clone)]
pub struct Publisher {
    audiences: Vec<Rules>,
}

impl Publisher {
    /// For one audience.
    pub fn new(users: UserRule, hosts: HostRule) -> Self {
        Self::of(vec![Rules { users, hosts }])
    }

    /// For these audiences, which are known by their place in the list.
    pub fn of(audiences: Vec<Rules>) -> Self {
        Self { audiences }
    }

    /// The rules of each audience.
    pub fn audiences(&self) -> &[Rules] {
        &self.audiences
    }

    /// Whether user names leave hashed, for any audience.
    pub fn hides_users(&self) -> bool {
        self.audiences.iter().any(Rules::hides_users)
    }

    /// Whether host names leave reduced, for any audience.
    pub fn hides_hosts(&self) -> bool {
        self.audiences.iter().any(Rules::hides_hosts)
    }

    /// A user's name, for all audiences.
    pub fn user(&self, name: &str) -> PublishedUser {
        self.user_for(name, |_| Some(true))
    }

    /// A user's name, for those audiences that may hear of the user at all. `may_hear`: whether an audience
    /// may; `None`: that is not known.
    pub fn user_for(&self, name: &str, may_hear: impl Fn(usize) -> Option<bool>) -> PublishedUser {
        let forms = self.forms(Rules::hides_users, |audience, rules| {
            (may_hear(audience) == Some(true)).then(|| rules.user(name))
        });
        let unknown: Arc<[usize]> = (0..self.audiences.len())
            .filter(|audience| may_hear(*audience).is_none())
            .collect();
        PublishedUser {
            forms,
            unknown_to: (!unknown.is_empty()).then_some(unknown),
        }
    }

    pub fn host(&self, name: &str) -> PublishedHost {
        PublishedHost(self.forms(Rules::hides_hosts, |_, rules| Some(rules.host(name))))
    }

    /// The name of a schedd: a host's, or `WHICH@HOST`, where WHICH is a user on a pool of his own. So it is
    /// hashed where users are; where hosts are reduced, the whole name is, as WHICH can be named after the
    /// host, too.
    pub fn schedd(&self, name: &str) -> PublishedHost {
        let mut forms = self.forms(Rules::hides_hosts, |_, rules| Some(rules.schedd(name)));
        if !self.hides_hosts() {
            // There is a user in some.
            forms.shown = self
                .audiences
                .iter()
                .position(Rules::hides_users)
                .unwrap_or(0);
        }
        PublishedHost(forms)
    }

    /// The name of a device. One that can name a host is left out where hosts are hidden.
    pub fn device(&self, name: &str, can_name_a_host: bool) -> PublishedHost {
        PublishedHost(self.forms(Rules::hides_hosts, |_, rules| {
            (!(can_name_a_host && rules.hides_hosts())).then(|| name.to_owned())
        }))
    }

    fn forms(
        &self,
        hides: impl Fn(&Rules) -> bool,
        form: impl Fn(usize, &Rules) -> Option<String>,
    ) -> Forms {
        let each = self.audiences.iter().enumerate();
        Forms {
            each: each
                .map(|(audience, rules)| form(audience, rules).map(String::into_boxed_str))
                .collect(),
            shown: self.audiences.iter().position(hides).unwrap_or(0),
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
        let publisher = Publisher::new(rule, HostRule::Clear);
        publisher.user(name).heard_by(0).unwrap().to_owned()
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
    fn each_audience_hears_its_own_form() {
        let rules = |users, hosts| Rules { users, hosts };
        let md5 = UserRule::Hashed {
            scheme: Scheme::Md5,
            salt: String::new(),
        };
        let digits = HostRule::Digits {
            prefix: "atlas".into(),
            domain: "bnl.gov".into(),
        };
        let publisher = Publisher::of(vec![
            rules(UserRule::Clear, HostRule::Clear),
            rules(md5, digits),
        ]);
        let user = publisher.user("canary-1");
        assert_eq!(user.heard_by(0), Some("canary-1"));
        assert_eq!(user.heard_by(1), Some("6495518e"));
        assert_eq!(user.heard_by(2), None);
        let user = publisher.user_for("canary-1", |audience| Some(audience == 1));
        assert_eq!(user.heard_by(0), None);
        assert_eq!(user.may_be_heard_by(0), Some(false));
        assert_eq!(user.heard_by(1), Some("6495518e"));
        assert_eq!(user.may_be_heard_by(1), Some(true));
        let user = publisher.user_for("canary-1", |audience| (audience == 1).then_some(true));
        assert_eq!(user.heard_by(0), None);
        assert_eq!(user.may_be_heard_by(0), None);
        assert_eq!(user.heard_by(1), Some("6495518e"));
        let host = publisher.host("login01.canary.example");
        assert_eq!(host.heard_by(0), Some("login01.canary.example"));
        assert_eq!(host.heard_by(1), Some("atlas01.bnl.gov"));
        assert_eq!(host.as_str(), "atlas01.bnl.gov", "the log is reserved");
        let device = publisher.device("nfs01:/home", true);
        assert_eq!(device.heard_by(0), Some("nfs01:/home"));
        assert_eq!(device.heard_by(1), None);
        assert_eq!(publisher.device("sda1", false).heard_by(1), Some("sda1"));
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
