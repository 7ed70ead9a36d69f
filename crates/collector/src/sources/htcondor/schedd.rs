//! The schedds that a round asks: the local one, or those of `--schedd`, one after the other.

use std::time::Duration;

use afmetrics_document::PublishedHost;
use tokio::time::{Instant, timeout_at};

use crate::context::Context;
use crate::documents::Documents;
use crate::error::CollectError;
use crate::sources::htcondor::history::{CURSOR, Cursor};
use crate::sources::keys::hash;
use crate::state::Left;

/// Whom to ask, in this order; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedds(Vec<Schedd>);

/// One schedd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedd {
    /// As `condor_status -schedd` prints it; `None`: the local one.
    name: Option<String>,
    /// The central manager that knows it; `None`: the one of HTCondor's configuration.
    pool: Option<String>,
    /// There are others.
    is_one_of_several: bool,
}

impl Default for Schedds {
    fn default() -> Self {
        Self(vec![Schedd::default()])
    }
}

impl Schedds {
    /// The error is a sentence that names no host: under `-O` it may not.
    pub fn new(names: Vec<String>, pool: Option<String>) -> Result<Self, &'static str> {
        let is_no_name = |name: &String| name.trim().is_empty() || name.starts_with('-');
        if names.iter().chain(&pool).any(is_no_name) {
            return Err(
                "--schedd and --pool need a name, one of each --schedd: it was empty, or begins with - like a flag",
            );
        }
        let is_known = |(at, name): (usize, &String)| {
            names[..at]
                .iter()
                .any(|other| other.eq_ignore_ascii_case(name))
        };
        if names.iter().enumerate().any(is_known) {
            return Err(
                "--schedd: the same name is there twice, and its jobs would be counted twice",
            );
        }
        if names.is_empty() {
            return match pool {
                Some(_) => Err(
                    "--pool needs --schedd NAME: without it the local schedd is asked, whatever the pool",
                ),
                None => Ok(Self::default()),
            };
        }
        let is_one_of_several = names.len() > 1;
        Ok(Self(
            names
                .into_iter()
                .map(|name| Schedd {
                    name: Some(name),
                    pool: pool.clone(),
                    is_one_of_several,
                })
                .collect(),
        ))
    }

    /// Their names; none where the local one is asked.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|schedd| schedd.name.as_deref())
    }

    /// The arguments that say which pool is asked; all schedds have the same.
    pub fn pool_args(&self) -> Vec<&str> {
        self.0.first().map_or_else(Vec::new, Schedd::pool_args)
    }

    /// Reads one after the other, each as a part ([`Documents::part`]) that stands or falls alone.
    pub async fn each(
        &self,
        cx: &Context,
        out: &mut Documents,
        read: impl AsyncFn(&Schedd, &mut Documents) -> Result<(), CollectError>,
    ) -> Result<(), CollectError> {
        let read = async |schedd: &Schedd, (): &(), out: &mut Documents| read(schedd, out).await;
        self.each_of(&[()], cx, out, read).await
    }

    /// The same where each has to be asked several things, each of them a part. Where there are several
    /// schedds, each may take its share of the time that is left, so that one that hangs takes nothing
    /// from the others.
    pub async fn each_of<T>(
        &self,
        things: &[T],
        cx: &Context,
        out: &mut Documents,
        read: impl AsyncFn(&Schedd, &T, &mut Documents) -> Result<(), CollectError>,
    ) -> Result<(), CollectError> {
        let begun = Instant::now();
        for (schedd, left) in self.0.iter().zip((1..=self.0.len()).rev()) {
            let rest = cx.deadline("batch").saturating_sub(begun.elapsed());
            // Where there is one, the round itself watches the time.
            let share = schedd.is_one_of_several.then(|| share(rest, left));
            let end = share.map(|share| (share, Instant::now() + share));
            for thing in things {
                out.part(async |out| {
                    let result = match end {
                        None => read(schedd, thing, out).await,
                        // Not to be asked in vain.
                        Some((share, end)) if Instant::now() >= end => Err(took_too_long(share)),
                        Some((share, end)) => timeout_at(end, read(schedd, thing, out))
                            .await
                            .unwrap_or_else(|_| Err(took_too_long(share))),
                    };
                    result.map_err(|why| match schedd.published(cx) {
                        Some(name) => why.of(&format!("schedd {}", name.as_str())),
                        None => why,
                    })
                })
                .await?;
            }
        }
        Ok(())
    }
}

/// What one of so many may take of the time that is left: a little less, to be there before the round
/// gives the whole up.
fn share(time: Duration, parts: usize) -> Duration {
    let parts = u32::try_from(parts).unwrap_or(u32::MAX).max(1);
    time * 19 / 20 / parts
}

fn took_too_long(share: Duration) -> CollectError {
    CollectError::TimedOut(format!(
        "not done within {:.1} s, its share of --deadline; given up",
        share.as_secs_f64()
    ))
}

impl Schedd {
    /// The arguments that name it; none for the local one.
    pub fn args(&self) -> Vec<&str> {
        let name = self.name.iter().flat_map(|name| ["-name", name]);
        name.chain(self.pool_args()).collect()
    }

    fn pool_args(&self) -> Vec<&str> {
        self.pool.iter().flat_map(|pool| ["-pool", pool]).collect()
    }

    /// Its name; `None` for the local one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its name as it may leave; `None` for the local one.
    pub fn published(&self, cx: &Context) -> Option<PublishedHost> {
        self.name.as_deref().map(|name| cx.names.schedd(name))
    }

    /// What stands before a line of the log about it: nothing for the local one.
    pub fn label(&self, cx: &Context) -> String {
        self.published(cx)
            .map(|name| format!("schedd {}: ", name.as_str()))
            .unwrap_or_default()
    }

    /// What a queue's name has behind it: those of several schedds are counted each alone.
    pub fn of_a_queue(&self, cx: &Context) -> Option<PublishedHost> {
        self.published(cx).filter(|_| self.is_one_of_several)
    }

    /// Whether its cursors are those of the rounds without `--schedd`, which have read it: so it goes on
    /// where they were, and they where it was.
    pub async fn shares_cursors(&self, cx: &Context) -> Result<bool, CollectError> {
        let Some(name) = &self.name else {
            return Ok(true);
        };
        Ok(match cx.cursor::<Cursor>(CURSOR).await? {
            Left::Value(cursor) => cursor.knows(name),
            Left::Nothing | Left::Unusable => false,
        })
    }

    /// The name of its cursor of a collector. Its own has a hash in it: it stands in a file's name, which is
    /// no place for a host's. The pool is not in it: it is the same schedd, whoever is asked for its address.
    pub fn cursor_name(&self, collector: &str, shares: bool) -> String {
        match &self.name {
            Some(name) if !shares => {
                format!("{collector}-{:016x}", hash(&name.to_ascii_lowercase()))
            }
            _ => collector.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedds(names: &[&str], pool: Option<&str>) -> Result<Schedds, &'static str> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Schedds::new(names, pool.map(str::to_owned))
    }

    #[test]
    fn who_is_asked_is_in_the_arguments() {
        let local = schedds(&[], None).unwrap();
        assert_eq!(local, Schedds::default());
        assert!(local.0[0].args().is_empty());
        assert_eq!(local.0[0].cursor_name("condor_jobs", true), "condor_jobs");
        let both = schedds(&["a", "b@c"], Some("p:9618")).unwrap();
        assert_eq!(both.0[1].args(), ["-name", "b@c", "-pool", "p:9618"]);
        assert_eq!(both.pool_args(), ["-pool", "p:9618"]);
        assert_eq!(both.names().collect::<Vec<_>>(), ["a", "b@c"]);
    }

    #[test]
    fn what_names_no_schedd_or_one_twice_is_refused() {
        for (names, pool, why) in [
            (&[""][..], None, "need a name"),
            (&["-all"], None, "need a name"),
            (&["a"], Some(" "), "need a name"),
            (&["a", "b", "A"], None, "twice"),
            (&[], Some("p"), "--pool needs --schedd"),
        ] {
            let said = schedds(names, pool).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn each_schedd_has_a_cursor_of_its_own_that_names_no_host() {
        let name_of = |schedd: &Schedd| schedd.cursor_name("condor_jobs", false);
        let both = schedds(&["a.canary.example", "b.canary.example"], None).unwrap();
        let [a, b] = [name_of(&both.0[0]), name_of(&both.0[1])];
        assert_ne!(a, b);
        assert!(!format!("{a} {b}").contains("canary"));
        // In other letters, and with a pool.
        let same = schedds(&["A.canary.example"], Some("p.canary.example")).unwrap();
        assert_eq!(name_of(&same.0[0]), a);
    }

    proptest! {
        #[test]
        fn any_names_are_taken_in_their_order_or_refused(
            names in prop::collection::vec(".{0,8}", 0..4),
            pool in prop::option::of(".{0,8}"),
        ) {
            let given: Vec<&str> = names.iter().map(String::as_str).collect();
            if let Ok(schedds) = schedds(&given, pool.as_deref()) {
                prop_assert_eq!(schedds.names().collect::<Vec<_>>(), given);
                prop_assert!(!schedds.0.is_empty());
            }
        }

        /// What hangs leaves each of the others as much as it had itself, and all end in time.
        #[test]
        fn shares_are_equal_and_end_in_time(total in 1_u64..4_000_000, schedds in 1_usize..50) {
            let total = Duration::from_millis(total);
            let first = share(total, schedds);
            let mut taken = Duration::ZERO;
            for left in (1..=schedds).rev() {
                let share = share(total - taken, left);
                prop_assert!(share >= first);
                taken += share;
            }
            prop_assert!(taken < total);
        }
    }
}
