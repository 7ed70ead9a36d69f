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

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use afmetrics_document::{PublishedHost, PublishedUser, Publisher};
use nix::unistd::{Group, User, getgrouplist};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::error;

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
    /// It was said why the group of some is not known.
    told: Cell<bool>,
    accounts: RefCell<HashMap<String, PublishedUser>>,
}

/// A question to the thread that asks NSS.
type Question = (String, oneshot::Sender<Result<bool, String>>);

struct Filter {
    questions: mpsc::Sender<Question>,
    patience: Duration,
    is_unknown: bool,
    /// There was no answer: in this round nobody is asked about again, as each would cost as long.
    hangs: OnceCell<CollectError>,
}

/// The group of `-g` is none that the system knows.
#[derive(Debug, thiserror::Error)]
#[error("-g: this system knows no group {0:?}")]
pub struct UnknownGroup(String);

impl Names {
    /// `groups`: for each audience the one of whose members only it hears. Looks them up at once, for at most
    /// `patience`; a lookup that fails is no unknown group: it fails each collector that has names to publish.
    ///
    /// # Errors
    /// A group is unknown, and there is no audience without one. Where there is, that one is not kept waiting: then
    /// this is like a lookup that fails ([`Names::unknown_group`]).
    pub async fn new(
        publisher: Publisher,
        groups: &[Option<String>],
        patience: Duration,
        hanging: &Hanging,
    ) -> Result<Self, UnknownGroup> {
        let mut known: Vec<&String> = groups.iter().flatten().collect();
        known.sort_unstable();
        known.dedup();
        let mut filters = Vec::new();
        let is_for_all = groups.iter().all(Option::is_some);
        for group in &known {
            filters.push(match Filter::new(group, patience, hanging).await {
                Ok(filter) => filter,
                Err(why) if is_for_all => return Err(why),
                Err(why) => Filter::unknown(why),
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
            told: Cell::new(false),
            accounts: RefCell::default(),
        })
    }

    /// A group that the system does not know, in a sentence.
    pub fn unknown_group(&self) -> Option<String> {
        let unknown = self.filters.iter().find(|filter| filter.is_unknown)?;
        Some(unknown.hangs.get()?.to_string())
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
        let mut failed = None;
        for filter in &self.filters {
            match filter.is_member(name).await {
                Ok(is) => is_member.push(Some(is)),
                Err(why) => {
                    is_member.push(None);
                    failed = Some(why);
                }
            }
        }
        let may_hear = |audience: usize| {
            let filter = self.filter_of.get(audience).copied().flatten();
            filter.map_or(Some(true), |filter| is_member[filter])
        };
        let audiences = 0..self.filter_of.len();
        if let Some(why) = failed {
            if audiences
                .clone()
                .all(|audience| may_hear(audience).is_none())
            {
                return Err(why);
            }
            // The collectors say what follows from it.
            if !self.told.replace(true) {
                error!("{why}");
            }
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

impl Filter {
    async fn new(group: &str, patience: Duration, hanging: &Hanging) -> Result<Self, UnknownGroup> {
        let (known, is_known) = oneshot::channel();
        let (questions, asked) = mpsc::channel();
        let name = group.to_owned();
        // Where no thread can be had, or that of an earlier round hangs, both channels are closed: each
        // question fails.
        if let Ok(asking) = hanging.ask(&format!("group {group}")) {
            let _ = thread::Builder::new().spawn(move || {
                let _asking = asking;
                answer(&name, known, &asked);
            });
        }
        if let Ok(Ok(false)) = timeout(patience, is_known).await {
            return Err(UnknownGroup(group.to_owned()));
        }
        Ok(Self {
            questions,
            patience,
            is_unknown: false,
            hangs: OnceCell::new(),
        })
    }

    /// There is no such group.
    fn unknown(why: UnknownGroup) -> Self {
        Self {
            questions: mpsc::channel().0,
            patience: Duration::ZERO,
            is_unknown: true,
            hangs: CollectError::Failed(why.to_string()).into(),
        }
    }

    async fn is_member(&self, user: &str) -> Result<bool, CollectError> {
        if let Some(why) = self.hangs.get() {
            return Err(why.clone());
        }
        let (reply, answer) = oneshot::channel();
        // An error means that the thread has ended; then there is no answer, either.
        let _ = self.questions.send((user.to_owned(), reply));
        match timeout(self.patience, answer).await {
            Ok(Ok(Ok(is_member))) => Ok(is_member),
            Ok(Ok(Err(why))) => Err(CollectError::Failed(format!(
                "the user database (NSS) failed, so who is in the group of -g is not known: {why}"
            ))),
            Ok(Err(_)) => Err(self.no_more(CollectError::Failed(
                "the user database (NSS) cannot be asked who is in the group of -g: the thread that asks it has ended, or could not be started, or hangs since an earlier round".to_owned(),
            ))),
            Err(_) => Err(self.no_more(CollectError::TimedOut(format!(
                "the user database (NSS) did not say within {} s who is in the group of -g",
                self.patience.as_secs()
            )))),
        }
    }

    /// Nobody is asked about again, and that is why.
    fn no_more(&self, why: CollectError) -> CollectError {
        // Another collector may have come to it before.
        self.hangs.get_or_init(|| why).clone()
    }
}

/// What the thread does: looks the group up, says whether it exists, then answers questions.
fn answer(group: &str, known: oneshot::Sender<bool>, asked: &mpsc::Receiver<Question>) {
    let group = Group::from_name(group).map_err(|why| why.desc());
    // `Err` counts as known: only the system's own word makes a group an unknown one.
    let _ = known.send(!matches!(group, Ok(None)));
    let mut answers: HashMap<String, bool> = HashMap::new();
    for (user, reply) in asked {
        let answer = match (answers.get(&user), &group) {
            (Some(known), _) => Ok(*known),
            (None, Ok(Some(group))) => is_in(&user, group),
            // Said too late for exit status 2.
            (None, Ok(None)) => Err("it knows no such group".to_owned()),
            (None, Err(why)) => Err((*why).to_owned()),
        };
        if let Ok(is_member) = answer {
            answers.insert(user, is_member);
        }
        // An error means that the collector has given up waiting.
        let _ = reply.send(answer);
    }
}

/// Whether it is the user's primary group or one of the supplementary ones. A user whom the system
/// does not know is in no group.
fn is_in(user: &str, group: &Group) -> Result<bool, String> {
    let is_member = lists(user, group).map_err(|why| why.desc().to_owned())?;
    if is_member {
        return Ok(true);
    }
    match Group::from_gid(group.gid) {
        Ok(Some(_)) => Ok(false),
        Ok(None) => Err("it no longer knows the group".to_owned()),
        Err(why) => Err(why.desc().to_owned()),
    }
}

fn lists(user: &str, group: &Group) -> nix::Result<bool> {
    let Some(entry) = User::from_name(user)? else {
        return Ok(false);
    };
    if entry.gid == group.gid || group.mem.contains(&entry.name) {
        return Ok(true);
    }
    let Ok(name) = CString::new(user) else {
        return Ok(false);
    };
    // Not only `group.mem`: SSSD may leave the list of members out, and answer this all the same.
    Ok(getgrouplist(&name, entry.gid)?.contains(&group.gid))
}
