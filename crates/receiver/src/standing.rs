//! How the receiver stands: ready or not, how much waits, how large the store is, who was heard of when.
//! What `/metrics` and the front page show; read from the store at most every few seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use rusqlite::{Connection, params};
use tokio::sync::Mutex;

use crate::app::App;
use crate::clock;
use crate::documents::time::{DAY_MS, hour};
use crate::store::schema::FILE;

/// What was read is good for so long.
const GOOD_FOR: Duration = Duration::from_secs(3);
/// The store has to answer within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// Nodes that are shown, at most: the newest.
const MOST_NODES: u32 = 2_000;
/// A node that was not heard of for so long is gone.
const GONE_MS: i64 = 31 * DAY_MS;
const HOUR_MS: i64 = DAY_MS / 24;

/// The last reading, which all who ask share.
#[derive(Debug, Default)]
pub struct Standings(Mutex<Option<(Instant, Arc<Standing>)>>);

/// All times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Or why not, for the log.
    pub ready: Result<(), String>,
    /// Whether facilities and nodes were read now: if not, they are those of the last good reading.
    pub is_read: bool,
    pub facilities: Vec<Facility>,
    pub nodes: Vec<Node>,
    /// Bytes of the store's file.
    pub store: u64,
    /// Bytes of the log that SQLite writes ahead of it.
    pub log: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facility {
    pub name: String,
    /// The newest document's time.
    pub newest: Option<i64>,
    /// Documents of the last hour, by blocks: some of the minutes before may be among them.
    pub last_hour: i64,
}

/// The newest document of a node; an empty node: of the kinds that name none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub facility: String,
    pub node: String,
    pub newest: i64,
}

/// Who was heard of.
type Heard = (Vec<Facility>, Vec<Node>);

impl Standings {
    /// How it stands, some seconds ago at most.
    pub async fn now(&self, app: &App) -> Arc<Standing> {
        let mut last = self.0.lock().await;
        if let Some((at, standing)) = &*last
            && at.elapsed() < GOOD_FOR
        {
            return Arc::clone(standing);
        }
        let before = last.as_ref().map(|(_, standing)| &**standing);
        let standing = Arc::new(look(app, before).await);
        *last = Some((Instant::now(), Arc::clone(&standing)));
        standing
    }
}

async fn look(app: &App, before: Option<&Standing>) -> Standing {
    let settled = in_time(app.store.settle()).await;
    let settled = match app.store.tally().is_failing() {
        true => Err(anyhow!("the last documents could not be stored")),
        false => settled,
    };
    let read = in_time(app.store.read_apart(|store| read(store, clock::now()))).await;
    if let Err(why) = settled.as_ref().and(read.as_ref().map(|_| &())) {
        tracing::warn!("not ready: {why:#}");
    }
    let size = |name: &str| {
        let path = app.store.folder().join(name);
        path.metadata().map_or(0, |file| file.len())
    };
    Standing {
        store: size(FILE),
        log: size(&format!("{FILE}-wal")),
        ..known(settled, read, before)
    }
}

/// Who is known stays known where the store cannot be read.
fn known(settled: Result<()>, read: Result<Heard>, before: Option<&Standing>) -> Standing {
    let is_read = read.is_ok();
    let (read, (facilities, nodes)) = match (read, before) {
        (Ok(read), _) => (Ok(()), read),
        (Err(why), Some(last)) => (Err(why), (last.facilities.clone(), last.nodes.clone())),
        (Err(why), None) => (Err(why), Heard::default()),
    };
    Standing {
        ready: read.and(settled).map_err(|why| format!("{why:#}")),
        is_read,
        facilities,
        nodes,
        store: 0,
        log: 0,
    }
}

/// A disk that hangs is as bad as one that fails.
async fn in_time<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, what).await {
        Ok(done) => done,
        Err(_) => bail!("the store does not answer within {} s", PATIENCE.as_secs()),
    }
}

fn read(store: &Connection, now: i64) -> Result<Heard> {
    let facilities: Vec<Facility> = store
        .prepare_cached(
            "SELECT name, (SELECT max(time) FROM (
              SELECT max(time) AS time FROM latest WHERE facility = facilities.id
              UNION ALL SELECT (SELECT max(last) FROM blocks WHERE facility = facilities.id AND kind = kinds.id
               AND hour = (SELECT max(hour) FROM blocks WHERE facility = facilities.id AND kind = kinds.id))
              FROM kinds)),
             (SELECT coalesce(sum(documents), 0) FROM kinds CROSS JOIN blocks
              WHERE facility = facilities.id AND kind = kinds.id AND hour BETWEEN ?1 AND ?2 AND last >= ?3)
             FROM facilities ORDER BY name",
        )?
        .query_map(
            params![hour(now - HOUR_MS), hour(now + HOUR_MS), now - HOUR_MS],
            |row| {
                Ok(Facility {
                    name: row.get(0)?,
                    newest: row.get(1)?,
                    last_hour: row.get(2)?,
                })
            },
        )?
        .collect::<rusqlite::Result<_>>()?;
    let mut nodes: Vec<Node> = store
        .prepare_cached(
            "SELECT name, node, max(time) FROM latest JOIN facilities ON facilities.id = facility
             GROUP BY facility, node HAVING max(time) >= ? ORDER BY max(time) DESC, name, node LIMIT ?",
        )?
        .query_map(params![now - GONE_MS, MOST_NODES], |row| {
            Ok(Node {
                facility: row.get(0)?,
                node: row.get(1)?,
                newest: row.get(2)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    // Jobs, users and queues name no node.
    for facility in &facilities {
        let is_there = |node: &Node| node.node.is_empty() && node.facility == facility.name;
        if let Some(newest) = facility.newest.filter(|newest| *newest >= now - GONE_MS)
            && !nodes.iter().any(is_there)
        {
            nodes.push(Node {
                facility: facility.name.clone(),
                node: String::new(),
                newest,
            });
        }
    }
    Ok((facilities, nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_known_stays_known_where_the_store_cannot_be_read() {
        let facility = |name: &str| Facility {
            name: name.into(),
            newest: None,
            last_hour: 0,
        };
        let good = known(Ok(()), Ok((vec![facility("AF-1")], Vec::new())), None);
        assert!(good.is_read && good.ready.is_ok());
        let bad = known(Ok(()), Err(anyhow!("no answer")), Some(&good));
        assert_eq!(bad.facilities, good.facilities);
        assert!(!bad.is_read);
        assert_eq!(bad.ready, Err("no answer".to_owned()));
        let worse = known(Ok(()), Err(anyhow!("no answer")), Some(&bad));
        assert_eq!(worse.facilities, good.facilities);
        let unsettled = known(Err(anyhow!("full")), Ok(Heard::default()), Some(&good));
        assert_eq!(unsettled.facilities, []);
        assert!(unsettled.is_read && unsettled.ready.is_err());
    }
}
