//! The way from a name that was read to a name that may leave: the group filter, then the
//! publisher.
//!
//! Group membership is asked of the system's user database (NSS: files, LDAP, SSSD), which can take
//! seconds or hang. So it is asked on a thread of its own, once a round for each user.
//!
//! What surprised us: not every failure is told. `getgrouplist` has no way to say that a service
//! failed, and some NSS modules (SSSD's on RHEL, while its daemon is away) say "not found" instead of
//! "unavailable". So a No counts only while the system still knows the group of `-g`. What cannot be
//! told: users in a directory that says "not found" when it is away, and a group in `/etc/group`.

mod group;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use afmetrics_document::{PublishedHost, PublishedUser, Publisher};

use self::group::Filter;
pub use self::group::UnknownGroup;
use crate::aside::Hanging;
use crate::error::CollectError;

pub struct Names {
    publisher: Publisher,
    /// The groups whose members some audiences may only hear of, each once.
    filters: Vec<Filter>,
    /// For each audience, which of the filters; `None`: it hears of everybody.
    filter_of: Vec<Option<usize>>,
    /// What became of a name in this round; `None`: it does not leave.
    known: RefCell<HashMap<String, Option<PublishedUser>>>,
    accounts: RefCell<HashMap<String, PublishedUser>>,
}

impl Names {
    /// `groups`: for each audience the one of whose members only it hears. Looks them up at once, for at most
    /// `patience`; a lookup that fails is no unknown group: it fails each collector that has names to publish.
    ///
    /// # Errors
    /// A group is unknown, and of the first `afar` audiences, which are not at this node, none is without one. Where there is, that one is not kept waiting: then
    /// this is like a lookup that fails ([`Names::unknown_groups`]).
    pub async fn new(
        publisher: Publisher,
        groups: &[Option<String>],
        afar: usize,
        patience: Duration,
        hanging: &Hanging,
    ) -> Result<Self, UnknownGroup> {
        let mut known: Vec<&String> = groups.iter().flatten().collect();
        known.sort_unstable();
        known.dedup();
        let mut filters = Vec::new();
        let is_for_all = groups.iter().take(afar).all(Option::is_some);
        for group in &known {
            filters.push(match Filter::new(group, patience, hanging).await {
                Ok(filter) => filter,
                Err(why) if is_for_all => return Err(why),
                Err(why) => Filter::unknown(&why),
            });
        }
        let filter_of = groups
            .iter()
            .map(|group| {
                known
                    .iter()
                    .position(|known| Some(*known) == group.as_ref())
            })
            .collect();
        Ok(Self {
            publisher,
            filters,
            filter_of,
            known: RefCell::default(),
            accounts: RefCell::default(),
        })
    }

    /// The groups that the system does not know, each in a sentence.
    pub fn unknown_groups(&self) -> Vec<String> {
        let unknown = self.filters.iter().filter_map(Filter::unknown_group);
        unknown.collect()
    }

    /// Who did not leave in this round, as the group has them not.
    pub fn left_out(&self) -> Vec<String> {
        let known = self.known.borrow();
        let mut names: Vec<String> = known
            .iter()
            .filter(|(_, published)| published.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        names
    }

    /// These do not leave, whatever the user database says.
    pub fn leave_out(&self, names: &[String]) {
        let names = names.iter().map(|name| (name.clone(), None));
        self.known.borrow_mut().extend(names);
    }

    /// What a job is charged to, as it may leave: hidden where users are, as it may be named after one.
    pub fn publish_account(&self, name: &str) -> PublishedUser {
        let mut accounts = self.accounts.borrow_mut();
        if let Some(known) = accounts.get(name) {
            return known.clone();
        }
        let published = self.publisher.user(name);
        accounts.insert(name.to_owned(), published.clone());
        published
    }

    /// The name as it may leave; `None`: it does not, as the user is in the group of no audience. Where that
    /// cannot be found out for some audiences, the name says so of these, for this round.
    ///
    /// # Errors
    /// It cannot be found out for any audience.
    pub async fn publish(&self, name: &str) -> Result<Option<PublishedUser>, CollectError> {
        if let Some(known) = self.known.borrow().get(name) {
            return Ok(known.clone());
        }
        let mut is_member = Vec::new();
        let mut failed = Vec::new();
        for filter in &self.filters {
            let answer = filter.is_member(name).await;
            is_member.push(answer.as_ref().ok().copied());
            failed.extend(answer.err().map(|why| (filter, why)));
        }
        let may_hear = |audience: usize| {
            let filter = self.filter_of.get(audience).copied().flatten();
            filter.map_or(Some(true), |filter| is_member[filter])
        };
        let audiences = 0..self.filter_of.len();
        let all_unknown = audiences
            .clone()
            .all(|audience| may_hear(audience).is_none());
        for (filter, why) in failed {
            if all_unknown {
                return Err(why);
            }
            filter.tell(&why);
        }
        let published = audiences
            .map(may_hear)
            .any(|may| may != Some(false))
            .then(|| self.publisher.user_for(name, may_hear));
        self.known
            .borrow_mut()
            .insert(name.to_owned(), published.clone());
        Ok(published)
    }

    /// A schedd's name as it may leave.
    pub fn schedd(&self, name: &str) -> PublishedHost {
        self.publisher.schedd(name)
    }

    /// A device's name as it may leave.
    pub fn device(&self, name: &str, can_name_a_host: bool) -> PublishedHost {
        self.publisher.device(name, can_name_a_host)
    }

    /// All of these names that may leave, each once.
    pub async fn publish_all<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<PublishedUser>, CollectError> {
        let mut users = BTreeSet::new();
        for name in names {
            users.extend(self.publish(name).await?);
        }
        Ok(users.into_iter().collect())
    }
}
