//! Rows that don't tell when they came.
//!
//! Before a group of jobs is committed, every page that it changed is brought to its one [`layout`](super::layout), in
//! the same transaction: through SQLite's `sqlite_dbpage`, so that the pages in its memory are changed, too, and
//! what it writes to the file is never anything else. The rollback journal holds pages as they were before, which
//! were committed in their one layout.
//!
//! Which pages changed is what the rollback journal says (file format, section 3), besides pages that are new and pages
//! that were free: those have no earlier content to keep. Changed pages stay in memory until the commit (`cache_spill`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::layout::{canonical, u32_at};
use crate::Error;

/// What a journal begins with when it is complete. Before, zeros stand there.
const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// The pages of a database, and which of them were free at the last commit.
pub(crate) struct Pages {
    journal: PathBuf,
    open_journal: Option<File>,
    size: u32,
    count: u32,
    free: Vec<u32>,
}

/// The state at a commit, for after it.
pub(crate) struct Committing {
    count: u32,
    free: Option<Vec<u32>>,
}

impl Pages {
    /// The pages of an open database whose journal is at `journal`. Brings all of them to their one layout: a file may come from
    /// a version of this program that hid the order in another way, and migrations write rows, too.
    pub(crate) fn new(connection: &Connection, journal: PathBuf) -> Result<Self, Error> {
        let size = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let (count, free) = (page_count(connection)?, free_pages(connection)?);
        let pages = Self { journal, open_journal: None, size, count, free };
        let transaction = connection.unchecked_transaction()?;
        rewrite(&transaction, 2..=count)?;
        transaction.commit()?;
        Ok(pages)
    }

    /// Brings the pages that the present transaction changed to their one layout. To be called last before the commit.
    pub(crate) fn rewrite_changed(&mut self, connection: &Connection) -> Result<Committing, Error> {
        let count = page_count(connection)?;
        let Some(mut changed) = self.journaled()? else {
            return Ok(Committing { count, free: None });
        };
        let first_page_changed = changed.contains(&1);
        let free = if first_page_changed && !(self.free.is_empty() && free_count(connection)? == 0)
        {
            let free = free_pages(connection)?;
            let mut still = vec![false; count as usize + 1];
            for page in &free {
                if let Some(still) = still.get_mut(*page as usize) {
                    *still = true;
                }
            }
            let taken = |page: &u32| !still.get(*page as usize).copied().unwrap_or(true);
            changed.extend(self.free.iter().copied().filter(taken));
            Some(free)
        } else {
            None
        };
        changed.extend(self.count + 1..=count);
        changed.sort_unstable();
        changed.dedup();
        rewrite(connection, changed.into_iter().filter(|page| *page > 1 && *page <= count))?;
        Ok(Committing { count, free })
    }

    /// The transaction was committed.
    pub(crate) fn committed(&mut self, now: Committing) {
        self.count = now.count;
        if let Some(free) = now.free {
            self.free = free;
        }
    }

    /// The pages whose former content the journal keeps; `None` when nothing was changed.
    fn journaled(&mut self) -> Result<Option<Vec<u32>>, Error> {
        let file = match &mut self.open_journal {
            Some(file) => &*file,
            none => match File::open(&self.journal) {
                Ok(file) => &*none.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(Error::Journal(error)),
            },
        };
        let length = file.metadata().map_err(Error::Journal)?.len();
        if length == 0 {
            return Ok(None);
        }
        let mut header = [0; 28];
        file.read_exact_at(&mut header, 0).map_err(Error::Journal)?;
        let (sector, size) = (u32_at(&header, 20), u32_at(&header, 24));
        let begun = header.starts_with(&MAGIC) || header.starts_with(&[0; MAGIC.len()]);
        let sector = match (sector, size) {
            (Some(sector), Some(size)) if begun && size == self.size => sector,
            _ => return Err(Error::Journal(io::ErrorKind::InvalidData.into())),
        };
        // A page's number, the page, and a checksum.
        let record = u64::from(self.size) + 8;
        let mut pages = Vec::new();
        let mut at = u64::from(sector);
        while at + record <= length {
            let mut number = [0; 4];
            file.read_exact_at(&mut number, at).map_err(Error::Journal)?;
            pages.push(u32::from_be_bytes(number));
            at += record;
        }
        Ok(Some(pages))
    }
}

fn rewrite(connection: &Connection, pages: impl Iterator<Item = u32>) -> Result<(), Error> {
    let mut get = connection.prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?;
    let mut put =
        connection.prepare_cached("INSERT INTO sqlite_dbpage (pgno, data) VALUES (?1, ?2)")?;
    for page in pages {
        let laid = get
            .query_row([page], |row| {
                let bytes = row.get_ref(0)?.as_blob()?;
                Ok(canonical(bytes).map(|laid| laid.filter(|laid| laid != bytes)))
            })
            .optional()?;
        match laid {
            Some(Ok(Some(laid))) => drop(put.execute(params![page, laid])?),
            Some(Err(_)) => return Err(Error::Page { page }),
            None | Some(Ok(None)) => {}
        }
    }
    Ok(())
}

fn page_count(connection: &Connection) -> Result<u32, Error> {
    Ok(connection.prepare_cached("PRAGMA page_count")?.query_row([], |row| row.get(0))?)
}

fn free_count(connection: &Connection) -> Result<u32, Error> {
    Ok(connection.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))?)
}

/// The free pages (file format, section 1.5): the first page leads to a chain of pages that list them.
fn free_pages(connection: &Connection) -> Result<Vec<u32>, Error> {
    let mut get = connection.prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?;
    let mut free = Vec::new();
    let mut trunk = 1;
    // In the first page the number stands behind others; a list is never longer than the file.
    let mut at = 32;
    loop {
        let listed = get.query_row([trunk], |row| {
            let bytes = row.get_ref(0)?.as_blob()?;
            let next = u32_at(bytes, at);
            if at == 0 {
                let leaves = u32_at(bytes, 4).unwrap_or(0) as usize;
                let all = bytes.get(8..).unwrap_or_default().as_chunks::<4>().0;
                free.extend(all.iter().take(leaves).map(|page| u32::from_be_bytes(*page)));
            }
            Ok(next)
        });
        match listed? {
            None | Some(0) => return Ok(free),
            Some(next) => {
                free.push(next);
                (trunk, at) = (next, 0);
            }
        }
    }
}
