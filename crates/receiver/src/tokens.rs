//! Tokens: 256 random bits, shown once, kept as their SHA-256, for one facility's documents or for reading.

use std::fmt;
use std::sync::{Arc, RwLock};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use rusqlite::{Connection, OptionalExtension as _, params};
use subtle::ConstantTimeEq as _;

/// The SHA-256 of a token.
pub type Hash = [u8; 32];

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Sending documents of this facility.
    Sender { facility: String },
    /// Reading: of this facility, or of all.
    Viewer { facility: Option<String> },
}

impl Role {
    pub fn word(&self) -> &'static str {
        match self {
            Role::Sender { .. } => "sender",
            Role::Viewer { .. } => "viewer",
        }
    }

    pub fn facility(&self) -> Option<&str> {
        match self {
            Role::Sender { facility } => Some(facility),
            Role::Viewer { facility } => facility.as_deref(),
        }
    }
}

/// What is known of a token, which is not the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub id: i64,
    pub role: Role,
    pub note: String,
    /// Milliseconds since 1970, as all times here.
    pub created: i64,
    pub expires: Option<i64>,
    pub revoked: Option<i64>,
    /// To the minute.
    pub used: Option<i64>,
    hash: Hash,
}

impl Known {
    /// Whether it opens anything at this time.
    pub fn is_good(&self, now: i64) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }
}

/// The right to send documents of one facility.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// The token's number.
    pub token: i64,
    pub facility: Arc<str>,
}

/// The right to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The token's number; `None`: it took none.
    pub token: Option<i64>,
    /// The only facility that may be seen; `None`: all.
    pub facility: Option<String>,
    /// When the token ends, in milliseconds since 1970.
    pub expires: Option<i64>,
}

/// A token that was just made. Shown once, by [`Fresh::expose`] alone.
pub struct Fresh(String);

impl Fresh {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fresh")
    }
}

/// The tokens as a running receiver knows them.
#[derive(Debug, Default)]
pub struct Tokens(RwLock<Vec<Known>>);

impl Tokens {
    /// Takes over what the store has now.
    pub fn replace(&self, all: Vec<Known>) {
        *self.0.write().unwrap_or_else(|broken| broken.into_inner()) = all;
    }

    /// What a token allows its sender at this time.
    pub fn pass(&self, token: &str, now: i64) -> Option<Pass> {
        self.find(token, now, |known| match &known.role {
            Role::Sender { facility } => Some(Pass {
                token: known.id,
                facility: facility.as_str().into(),
            }),
            Role::Viewer { .. } => None,
        })?
    }

    /// What a token allows its reader at this time.
    pub fn view(&self, token: &str, now: i64) -> Option<View> {
        self.find(token, now, |known| match &known.role {
            Role::Viewer { facility } => Some(View {
                token: Some(known.id),
                facility: facility.clone(),
                expires: known.expires,
            }),
            Role::Sender { .. } => None,
        })?
    }

    /// Why a token does not allow what was asked with it. What it is good for instead is said only of one
    /// that is good.
    pub fn why_not(&self, token: &str, now: i64) -> &'static str {
        self.find(token, now, |known| match known.role {
            Role::Viewer { .. } => "this is a viewer's token: sending needs a sender's (afs_...)",
            Role::Sender { .. } => "this is a sender's token: reading needs a viewer's (afv_...)",
        })
        .unwrap_or("unknown, expired or revoked token")
    }

    /// What is wanted of a token that is known and good. Compares with all of them, in constant time each, whichever
    /// it is. What is compared is the SHA-256, so time would not tell how much of a token is right even if it varied.
    fn find<T>(&self, token: &str, now: i64, wanted: impl FnOnce(&Known) -> T) -> Option<T> {
        let hash = hash(token);
        let all = self.0.read().unwrap_or_else(|broken| broken.into_inner());
        let mut found = None;
        for known in all.iter() {
            if bool::from(known.hash.ct_eq(&hash)) && known.is_good(now) {
                found = Some(known);
            }
        }
        found.map(wanted)
    }
}

fn hash(token: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

/// Makes a token and keeps its hash; returns its number and, this once, itself.
///
/// # Errors
/// The system has no randomness, or the store cannot be written.
pub fn create(
    store: &Connection,
    role: &Role,
    note: &str,
    now: i64,
    expires: Option<i64>,
) -> Result<(i64, Fresh)> {
    let mut bits = [0; 32];
    SystemRandom::new()
        .fill(&mut bits)
        .map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    // A prefix by which a leaked one is found, and taken for what it is.
    let prefix = match role {
        Role::Sender { .. } => "afs_",
        Role::Viewer { .. } => "afv_",
    };
    let token = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bits));
    store
        .execute(
            "INSERT INTO tokens(role, facility, note, hash, created, expires) VALUES (?, ?, ?, ?, ?, ?)",
            params![
                role.word(),
                role.facility(),
                note,
                hash(&token),
                now,
                expires
            ],
        )
        .context("cannot keep the token")?;
    Ok((store.last_insert_rowid(), Fresh(token)))
}

/// Ends a token; `false`: there is none of this number, or it was ended before.
///
/// # Errors
/// The store cannot be written.
pub fn revoke(store: &Connection, id: i64, now: i64) -> rusqlite::Result<bool> {
    let changed = store.execute(
        "UPDATE tokens SET revoked = ? WHERE id = ? AND revoked IS NULL",
        params![now, id],
    )?;
    Ok(changed == 1)
}

/// All tokens, oldest first.
///
/// # Errors
/// The store cannot be read.
pub fn list(store: &Connection) -> rusqlite::Result<Vec<Known>> {
    store
        .prepare_cached(
            "SELECT id, role, facility, note, hash, created, expires, revoked, used FROM tokens ORDER BY id",
        )?
        .query_map([], |row| {
            let facility: Option<String> = row.get(2)?;
            let role = match row.get_ref(1)?.as_str()? {
                "sender" => Role::Sender {
                    facility: facility.unwrap_or_default(),
                },
                _ => Role::Viewer { facility },
            };
            Ok(Known {
                id: row.get(0)?,
                role,
                note: row.get(3)?,
                hash: row.get(4)?,
                created: row.get(5)?,
                expires: row.get(6)?,
                revoked: row.get(7)?,
                used: row.get(8)?,
            })
        })?
        .collect()
}

/// A number that changes with every change of the tokens but their use: how a running receiver notices.
///
/// # Errors
/// The store cannot be read.
pub fn revision(store: &Connection) -> rusqlite::Result<(i64, i64)> {
    store
        .prepare_cached("SELECT count(*), count(revoked) FROM tokens")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map(Option::unwrap_or_default)
}
