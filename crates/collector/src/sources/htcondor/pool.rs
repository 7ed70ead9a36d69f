//! What a pool's collector knows of queues: the ad of each schedd, which counts its jobs, and the ads of
//! the slots that run them. No schedd is asked, however long its queue is.
//!
//! ```text
//! condor_status -schedd -json -attributes ...
//! [
//! {
//!   "LastHeardFrom": 1795378600,
//!   "Name": "login01.canary.example",
//!   "TotalFlockedJobs": 0,
//!   "TotalHeldJobs": 2,
//!   "TotalIdleJobs": 11,
//!   "TotalLocalJobsRunning": 1,
//!   "TotalRunningJobs": 16
//! }
//! ]
//! ```
//!
//! What surprised us: TotalRunningJobs counts suspended jobs, too, which `condor_q -totals` does not. No ad
//! of a schedd or a submitter says how much memory its jobs have, and WeightedRunningJobs is cores only
//! where SLOT_WEIGHT says so; so both sums are those of slots. The ad of a schedd that hangs or has crashed
//! stays where it is for 15 minutes, and one that came back with another address has two meanwhile. A pool
//! without an ad of that kind is no output at all.

use std::collections::HashMap;

use serde::Deserialize;

use super::schedd::Schedds;
use super::{Number, Text, query};
use crate::context::Context;
use crate::error::CollectError;

/// A schedd renews its ad every 5 minutes, unless configured otherwise: it has missed two, with a minute
/// for being late. The pool drops it after 15 only.
const STALE: i64 = 660;

/// What a pool says, at one time.
#[derive(Debug, Default)]
pub struct Pool {
    /// By the schedd's name in small letters.
    schedds: HashMap<String, Ad>,
    allocated: HashMap<String, Allocated>,
    /// Slots that run a job and of which it is not known whose, or how large they are.
    unreadable: u64,
}

/// A queue, counted.
#[derive(Debug, PartialEq, Eq)]
pub struct Counted {
    pub idle: i64,
    pub running: i64,
    pub held: i64,
    pub cores: i64,
    /// MiB.
    pub mem: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ad {
    name: Text,
    last_heard_from: Number,
    total_flocked_jobs: Number,
    total_held_jobs: Number,
    total_idle_jobs: Number,
    total_local_jobs_running: Number,
    total_running_jobs: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Slot {
    remote_schedd_name: Text,
    cpus: Number,
    memory: Number,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Allocated {
    cores: i64,
    mem: i64,
}

const OF_SCHEDD: &str = "Name,LastHeardFrom,TotalFlockedJobs,TotalHeldJobs,TotalIdleJobs,TotalLocalJobsRunning,TotalRunningJobs";
const OF_SLOT: &str = "RemoteScheddName,Cpus,Memory";
/// Slots that run a job: neither those that are claimed and wait for one, nor those whose job is suspended.
const RUNNING: &str = "(State == \"Claimed\" || State == \"Preempting\") && Activity != \"Idle\" && Activity != \"Suspended\"";

impl Pool {
    /// Asks for the ads of all schedds, and of all slots that run a job: two queries, however many schedds
    /// and queues there are.
    pub async fn read(schedds: &Schedds, cx: &Context) -> Result<Self, CollectError> {
        let mut pool = Self::default();
        let pool_args = schedds.pool_args();
        let args = [
            &pool_args[..],
            &["-schedd", "-json", "-attributes", OF_SCHEDD],
        ]
        .concat();
        let mut ads = query(cx, "condor_status", &args, cx.limits.silence).await?;
        while let Some((name, ad)) = ads.next(Ad::named).await? {
            pool.add(name, ad);
        }
        let args = [
            &pool_args[..],
            &["-json", "-constraint", RUNNING, "-attributes", OF_SLOT],
        ]
        .concat();
        let mut slots = query(cx, "condor_status", &args, cx.limits.silence).await?;
        while let Some((name, slot)) = slots.next(Slot::taken).await? {
            let sum = pool.allocated.entry(name).or_default();
            sum.cores = sum.cores.saturating_add(slot.cores);
            sum.mem = sum.mem.saturating_add(slot.mem);
        }
        pool.unreadable = slots.left_out();
        Ok(pool)
    }

    /// Of two ads of one name the newer one counts.
    fn add(&mut self, name: String, ad: Ad) {
        let other = self.schedds.get(&name);
        if other.is_none_or(|other| other.last_heard_from.0 <= ad.last_heard_from.0) {
            self.schedds.insert(name, ad);
        }
    }

    /// The jobs of a schedd. `now`: seconds since 1970.
    pub fn counted(&self, schedd: &str, now: u64) -> Result<Counted, CollectError> {
        let name = schedd.to_ascii_lowercase();
        let ad = self.schedds.get(&name).ok_or_else(|| {
            CollectError::Failed(
                "the pool has no ad of it: it is down, or has another name (--queue-totals schedd-ad needs the name in full, as condor_status -schedd prints it)".to_owned(),
            )
        })?;
        ad.is_fresh(now)?;
        let malformed = |what: &str| CollectError::Malformed(format!("its ad has no {what}"));
        let number = |number: Number, what| number.0.ok_or_else(|| malformed(what));
        let running = number(ad.total_running_jobs, "TotalRunningJobs")?;
        let flocked = number(ad.total_flocked_jobs, "TotalFlockedJobs")?;
        if flocked > 0 {
            return Err(CollectError::Failed(format!(
                "{flocked} of its jobs run in other pools, whose slots this pool does not know, so what they have been given is not known: use --queue-totals jobs"
            )));
        }
        let in_slots = running.saturating_sub(ad.total_local_jobs_running.0.unwrap_or(0));
        if in_slots > 0 && self.unreadable > 0 {
            return Err(CollectError::Failed(format!(
                "{} slots of the pool run a job and do not say of which schedd (RemoteScheddName) or with how much (Cpus, Memory), so what its {in_slots} jobs have been given is not known; if this goes on, use --queue-totals jobs",
                self.unreadable
            )));
        }
        let allocated = match self.allocated.get(&name) {
            Some(allocated) => *allocated,
            None if in_slots <= 0 => Allocated::default(),
            None => {
                return Err(CollectError::Failed(format!(
                    "it runs {in_slots} jobs and no slot of the pool is said to run one (RemoteScheddName), so what they have been given is not known; if this goes on, use --queue-totals jobs"
                )));
            }
        };
        Ok(Counted {
            idle: number(ad.total_idle_jobs, "TotalIdleJobs")?,
            running,
            held: number(ad.total_held_jobs, "TotalHeldJobs")?,
            cores: allocated.cores,
            mem: allocated.mem,
        })
    }
}

impl Ad {
    fn named(self) -> Result<(String, Self), &'static str> {
        let name = self
            .name
            .0
            .clone()
            .ok_or("the ad of a schedd without Name")?;
        Ok((name.to_ascii_lowercase(), self))
    }

    /// What a schedd said long ago is not how its queue is.
    fn is_fresh(&self, now: u64) -> Result<(), CollectError> {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        match self.last_heard_from.0 {
            Some(at) if now.saturating_sub(at) <= STALE => Ok(()),
            Some(at) => Err(CollectError::Failed(format!(
                "its ad is {} s old: it hangs or is down, or this node's clock is wrong",
                now.saturating_sub(at)
            ))),
            None => Err(CollectError::Malformed(
                "its ad has no LastHeardFrom".to_owned(),
            )),
        }
    }
}

impl Slot {
    /// The schedd in small letters, and what its job has.
    fn taken(self) -> Result<(String, Allocated), &'static str> {
        let schedd = self
            .remote_schedd_name
            .0
            .ok_or("a slot that runs a job without RemoteScheddName")?;
        let (Some(cores), Some(mem)) = (self.cpus.0, self.memory.0) else {
            return Err("a slot without Cpus and Memory");
        };
        Ok((schedd.to_ascii_lowercase(), Allocated { cores, mem }))
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::list::tests::value;
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn pool(ad: Value, slots: &[Value]) -> Pool {
        let (name, ad) = serde_json::from_value::<Ad>(ad).unwrap().named().unwrap();
        let mut pool = Pool {
            schedds: HashMap::from([(name, ad)]),
            ..Pool::default()
        };
        for slot in slots {
            let slot: Slot = serde_json::from_value(slot.clone()).unwrap();
            let (name, allocated) = slot.taken().unwrap();
            pool.allocated.insert(name, allocated);
        }
        pool
    }

    fn ad(changes: Value) -> Value {
        let mut ad = json!({"Name": "a.canary.example", "LastHeardFrom": NOW, "TotalFlockedJobs": 0,
            "TotalHeldJobs": 2, "TotalIdleJobs": 11, "TotalRunningJobs": 16});
        for (name, value) in changes.as_object().unwrap() {
            ad[name] = value.clone();
        }
        ad
    }

    #[test]
    fn a_queue_is_counted_by_its_ad_and_its_slots() {
        let slot = json!({"RemoteScheddName": "A.canary.example", "Cpus": 2, "Memory": 1536});
        let counted = pool(ad(json!({})), from_ref(&slot)).counted("a.CANARY.example", NOW);
        let wanted = Counted {
            idle: 11,
            running: 16,
            held: 2,
            cores: 2,
            mem: 1536,
        };
        assert_eq!(counted.unwrap(), wanted);
    }

    /// The only ones without a slot are those of the local universe.
    #[test]
    fn a_queue_whose_slots_nobody_knows_is_not_counted() {
        let of = |running| {
            let ad = ad(json!({"TotalLocalJobsRunning": 1, "TotalRunningJobs": running}));
            pool(ad, &[]).counted("a.canary.example", NOW)
        };
        assert_eq!(of(0).unwrap().cores, 0);
        assert_eq!(of(1).unwrap().cores, 0);
        let said = of(2).unwrap_err().to_string();
        assert!(said.contains("it runs 1 jobs and no slot"), "{said}");
    }

    #[test]
    fn a_slot_that_does_not_say_whose_it_is_may_be_of_any_schedd_that_has_jobs_in_slots() {
        let slot = json!({"RemoteScheddName": "a.canary.example", "Cpus": 2, "Memory": 1536});
        let mut pool = pool(ad(json!({})), &[slot]);
        pool.unreadable = 3;
        let said = pool.counted("a.canary.example", NOW).unwrap_err();
        let wanted = "3 slots of the pool run a job and do not say of which schedd";
        assert!(said.to_string().contains(wanted), "{said}");
        let idle = ad(json!({"TotalRunningJobs": 0}));
        let (name, ad) = serde_json::from_value::<Ad>(idle).unwrap().named().unwrap();
        pool.schedds.insert(name, ad);
        assert!(pool.counted("a.canary.example", NOW).is_ok());
    }

    /// A schedd that came back with another address has two ads, until the pool drops the older one.
    #[test]
    fn of_two_ads_of_one_schedd_the_newer_one_counts() {
        let held = |held, at| {
            let ad = ad(json!({"LastHeardFrom": at, "TotalHeldJobs": held, "TotalRunningJobs": 0}));
            serde_json::from_value::<Ad>(ad).unwrap().named().unwrap()
        };
        let ads = || [held(1, NOW - 700), held(2, NOW - 10)];
        let backwards = ads().into_iter().rev().collect::<Vec<_>>();
        for ads in [Vec::from(ads()), backwards] {
            let mut pool = Pool::default();
            for (name, ad) in ads {
                pool.add(name, ad);
            }
            assert_eq!(pool.counted("a.canary.example", NOW).unwrap().held, 2);
        }
    }

    #[test]
    fn what_is_not_known_is_an_error_and_never_zero() {
        for (changes, why) in [
            (json!({"TotalIdleJobs": null}), "no TotalIdleJobs"),
            (json!({"TotalRunningJobs": "16"}), "no TotalRunningJobs"),
            (json!({"TotalHeldJobs": "/Expr(x)/"}), "no TotalHeldJobs"),
            (json!({"TotalFlockedJobs": null}), "no TotalFlockedJobs"),
            (
                json!({"TotalFlockedJobs": 3}),
                "3 of its jobs run in other pools",
            ),
            (json!({"LastHeardFrom": NOW - 661}), "its ad is 661 s old"),
            (json!({"LastHeardFrom": null}), "no LastHeardFrom"),
            (json!({"Name": "b"}), "the pool has no ad of it"),
        ] {
            let slot = json!({"RemoteScheddName": "a.canary.example", "Cpus": 2, "Memory": 1536});
            let said = pool(ad(changes), &[slot]).counted("a.canary.example", NOW);
            let said = said.unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
        // Ours may be behind the pool's clock.
        let early = json!({"LastHeardFrom": NOW + 60, "TotalRunningJobs": 0});
        let early = pool(ad(early), &[]);
        assert!(early.counted("a.canary.example", NOW).is_ok());
    }

    /// A number, most of the time.
    fn number() -> impl Strategy<Value = Value> {
        prop_oneof![9 => (-3_i64..2000).prop_map(Value::from), 1 => value()]
    }

    fn object(names: &str, values: &[Value]) -> String {
        let names = names.split(',').map(str::to_owned);
        Value::Object(names.zip(values.iter().cloned()).collect()).to_string()
    }

    proptest! {
        #[test]
        fn any_ad_is_counted_or_refused(
            name in prop_oneof![4 => Just(Value::from("a")), 1 => value()],
            mut values in prop::collection::vec(number(), 7),
            now in 0_u64..2000,
        ) {
            values[0] = name;
            let ad: Ad = serde_json::from_str(&object(OF_SCHEDD, &values)).unwrap();
            let Ok((name, ad)) = ad.named() else {
                prop_assert_eq!(values[0].as_str().filter(|name| !name.is_empty() && !name.starts_with("/Expr(")), None);
                return Ok(());
            };
            let pool = Pool {
                schedds: HashMap::from([(name.clone(), ad)]),
                ..Pool::default()
            };
            if let Ok(counted) = pool.counted(&name, now) {
                prop_assert_eq!(Some(counted.held), values[3].as_i64());
                prop_assert_eq!(Some(counted.idle), values[4].as_i64());
                prop_assert_eq!(Some(counted.running), values[6].as_i64());
            }
        }

        #[test]
        fn any_slot_is_counted_or_refused(
            name in prop_oneof![4 => Just(Value::from("a")), 1 => value()],
            mut values in prop::collection::vec(number(), 3),
        ) {
            values[0] = name;
            let slot: Slot = serde_json::from_str(&object(OF_SLOT, &values)).unwrap();
            if let Ok((_, allocated)) = slot.taken() {
                prop_assert_eq!(Some(allocated.cores), values[1].as_i64());
                prop_assert_eq!(Some(allocated.mem), values[2].as_i64());
            }
        }
    }
}
