//! A day of a series as it is stored: a cell for each five minutes in which something came.

use anyhow::{Context as _, Result, bail, ensure};
use rusqlite::{Connection, OptionalExtension as _};

use super::block;
use crate::documents::metric::Grain;
use crate::documents::time::SLOTS;

/// Days since 1970 that a series has ids for: until 2149.
const DAYS: i64 = 65_536;

/// What came in five minutes. Of a count, all but `n` are the count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    pub n: u32,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
}

impl Cell {
    pub fn one(number: f64) -> Self {
        Self::of(1, number)
    }

    /// The same number so many times.
    pub fn of(times: u32, number: f64) -> Self {
        Self {
            n: times,
            sum: f64::from(times) * number,
            min: number,
            max: number,
        }
    }

    pub fn mean(&self) -> f64 {
        self.sum / f64::from(self.n.max(1))
    }

    /// Adds what came later.
    pub fn add(&mut self, more: Cell, grain: Grain) {
        match grain {
            Grain::Count => *self = Cell::one(self.sum + more.sum),
            Grain::Samples => {
                self.n = self.n.saturating_add(more.n);
                self.sum += more.sum;
                self.min = self.min.min(more.min);
                self.max = self.max.max(more.max);
            }
        }
    }
}

/// The id of a series' day in the tables `days` and `slots`.
pub fn row(series: i64, day: i64) -> i64 {
    series * DAYS + day
}

/// The series and the day of such an id.
pub fn series_and_day(row: i64) -> (i64, i64) {
    (row.div_euclid(DAYS), row.rem_euclid(DAYS))
}

/// The ids of a series' days from one on: the first, and the last that there may be.
pub fn rows(series: i64, from: i64) -> [i64; 2] {
    [row(series, from), row(series, DAYS - 1)]
}

/// Packs days, one after the other: to begin anew for each takes longer than to pack it.
pub struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    /// # Errors
    /// There is no memory for it.
    pub fn new() -> std::io::Result<Self> {
        zstd::bulk::Compressor::new(1).map(Self)
    }
}

/// The cells of a day, by slot from 0 to 287.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Day(Vec<(u16, Cell)>);

impl Day {
    /// The day of a series that is stored under this id; empty if there is none.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn read(store: &Connection, id: i64) -> Result<Self> {
        store
            .prepare_cached("SELECT cells FROM slots WHERE id = ?")?
            .query_row([id], |row| Ok(Self::unpack(row.get_ref(0)?.as_blob()?)))
            .optional()?
            .unwrap_or_else(|| Ok(Self::default()))
    }

    pub fn cells(&self) -> impl Iterator<Item = (u16, Cell)> {
        self.0.iter().copied()
    }

    /// Adds to a slot's cell.
    pub fn add(&mut self, slot: u16, more: Cell, grain: Grain) {
        match self.0.binary_search_by_key(&slot, |(slot, _)| *slot) {
            Ok(at) => self.0[at].1.add(more, grain),
            Err(at) => self.0.insert(at, (slot, more)),
        }
    }

    /// All samples of the day together; of a count, its values in the slots that have one.
    pub fn total(&self) -> Cell {
        let mut total = Cell {
            n: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        };
        for (_, cell) in self.cells() {
            total.add(cell, Grain::Samples);
        }
        total
    }

    /// The day's bytes: how many cells, then column by column their slots, numbers, sums, and, where
    /// any cell has more than one sample, least and most; packed by zstd.
    pub fn pack(&self, packer: &mut Packer) -> Result<Vec<u8>> {
        let many = self.0.iter().any(|(_, cell)| cell.n != 1);
        let mut bytes = Vec::with_capacity(4 + self.0.len() * 30);
        bytes.push(u8::from(many));
        bytes.extend(u16::try_from(self.0.len())?.to_le_bytes());
        for (slot, _) in &self.0 {
            bytes.extend(slot.to_le_bytes());
        }
        column(&mut bytes, self.0.iter().map(|(_, cell)| cell.sum));
        if many {
            for (_, cell) in &self.0 {
                bytes.extend(cell.n.to_le_bytes());
            }
            column(&mut bytes, self.0.iter().map(|(_, cell)| cell.min));
            column(&mut bytes, self.0.iter().map(|(_, cell)| cell.max));
        }
        Ok(packer.0.compress(&bytes)?)
    }

    /// # Errors
    /// These are not the bytes of a day.
    pub fn unpack(packed: &[u8]) -> Result<Self> {
        const MOST: usize = 3 + SLOTS as usize * 30;
        let bytes = block::unzstd(packed, MOST).context("not a day's bytes")?;
        let mut rest = &bytes[..];
        let many = take::<1>(&mut rest)?[0] == 1;
        let n = usize::from(u16::from_le_bytes(take(&mut rest)?));
        ensure!(n <= usize::from(SLOTS), "a day of {n} slots");
        let mut cells = Vec::with_capacity(n);
        for _ in 0..n {
            let slot = u16::from_le_bytes(take(&mut rest)?);
            ensure!(slot < SLOTS, "slot {slot} of a day");
            cells.push((slot, Cell::one(0.0)));
        }
        ensure!(
            cells.is_sorted_by(|one, other| one.0 < other.0),
            "slots in disorder"
        );
        for (_, cell) in &mut cells {
            *cell = Cell::one(f64::from_le_bytes(take(&mut rest)?));
        }
        if many {
            for (_, cell) in &mut cells {
                cell.n = u32::from_le_bytes(take(&mut rest)?);
            }
            for (_, cell) in &mut cells {
                cell.min = f64::from_le_bytes(take(&mut rest)?);
            }
            for (_, cell) in &mut cells {
                cell.max = f64::from_le_bytes(take(&mut rest)?);
            }
        }
        if !rest.is_empty() {
            bail!("a day with {} bytes too many", rest.len());
        }
        Ok(Self(cells))
    }
}

fn column(bytes: &mut Vec<u8>, numbers: impl Iterator<Item = f64>) {
    for number in numbers {
        bytes.extend(number.to_le_bytes());
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (first, others) = rest.split_first_chunk().context("a day cut short")?;
    *rest = others;
    Ok(*first)
}
