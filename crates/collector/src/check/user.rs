//! Who looks: what can be read and written holds for this user alone.

use nix::unistd::{Uid, User, geteuid};

use super::report::Row;

/// The user of this process.
#[derive(Debug, Clone)]
pub struct Me {
    id: Uid,
    /// `None`: the user database does not know it, or did not answer.
    name: Option<String>,
}

impl Me {
    /// Asks the user database (NSS), which may take seconds or hang.
    pub fn of_process() -> Self {
        let id = geteuid();
        let user = User::from_uid(id).ok().flatten();
        Self {
            id,
            name: user.map(|user| user.name),
        }
    }

    /// Without asking.
    pub fn nameless() -> Self {
        Self {
            id: geteuid(),
            name: None,
        }
    }

    pub fn is_root(&self) -> bool {
        self.id.is_root()
    }

    pub fn is(&self, id: u32) -> bool {
        self.id.as_raw() == id
    }

    /// As a person calls it; `hide`: by number alone.
    pub fn shown(&self, hide: bool) -> String {
        match &self.name {
            Some(name) if !hide || self.is_root() => format!("{name} (uid {})", self.id),
            _ => format!("uid {}", self.id),
        }
    }

    /// As `install -o` takes it: a name, or a number.
    pub fn word(&self, hide: bool) -> String {
        match &self.name {
            Some(name) if !hide || self.is_root() => name.clone(),
            _ => self.id.to_string(),
        }
    }

    /// The command that looks as another user.
    pub fn run_as(owner: u32) -> String {
        match owner {
            0 => "sudo afmetrics_collector check".to_owned(),
            owner => format!("sudo -u '#{owner}' afmetrics_collector check"),
        }
    }

    pub fn row(&self, hide: bool) -> Row {
        let said = self.shown(hide);
        let found = match self.is_root() {
            true => format!(
                "{said}; what rounds of another user may do, `sudo -u USER afmetrics_collector check` tells"
            ),
            false => said,
        };
        Row::ok("user", found)
    }
}
