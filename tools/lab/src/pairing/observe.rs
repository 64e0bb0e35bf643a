//! Reading orderings off a disk.
//!
//! Sources: where a person's facts stand in a file (first and last place), where in a database's pages,
//! by table or index (SQLite fills a page from its end, so both directions inside a page), the rows of a
//! table in the order of their row ids and of each column, and files about one person only by their
//! time stamps and inode numbers. Logs are files: their lines' order is their bytes' order.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rusqlite::Connection;

use crate::disk::{self, Database, Table, quoted, select_all};
use crate::knowledge::{Known, Meaning, Needles, dig};

/// Persons in the order in which some source shows them. Not everybody needs to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordering {
    /// Which source: the same name in every run.
    pub source: String,
    /// Each person at most once, by number.
    pub persons: Vec<usize>,
}

/// Every ordering of the persons in `known` that the files under `roots` give away. A root is a directory or
/// a file, with a name that is the same in every run.
///
/// # Errors
/// When a file or database can't be read, or a fact is too short to be looked for.
pub fn observe(known: &[Known], roots: &[(&str, &Path)]) -> Result<Vec<Ordering>> {
    let mut observer =
        Observer { known, needles: Needles::new(known)?, orderings: BTreeMap::new() };
    let mut personal = Vec::new();
    for (name, root) in roots {
        for path in disk::files(root)? {
            let file = format!("{name}/{}", disk::shown(&path, root));
            let bytes = disk::read(&path)?;
            observer.places(&file, &bytes);
            if let Some(database) = Database::open(&path, &bytes)? {
                observer.pages(&file, &bytes, &database.connection)?;
                for table in database.tables()? {
                    observer.rows(&file, &database, &table)?;
                }
            }
            personal
                .extend(observer.only_person(&file, &bytes).map(|person| (path.clone(), person)));
        }
        observer.stamps(name, &personal)?;
        personal.clear();
    }
    let orderings = observer.orderings.into_iter();
    Ok(orderings.map(|(source, persons)| Ordering { source, persons }).collect())
}

struct Observer<'a> {
    known: &'a [Known],
    needles: Needles,
    orderings: BTreeMap<String, Vec<usize>>,
}

impl Observer<'_> {
    /// Keeps the persons of `marked` in the order of their keys, each where it comes first.
    fn keep<K: Ord>(&mut self, source: String, mut marked: Vec<(K, usize)>) {
        marked.sort();
        let mut persons = Vec::new();
        for (_, person) in marked {
            if !persons.contains(&person) {
                persons.push(person);
            }
        }
        if !persons.is_empty() {
            self.orderings.insert(source, persons);
        }
    }

    /// Facts in `bytes`: the name of the fact, the person, and the offset.
    fn marks(&self, bytes: &[u8]) -> Vec<(&'static str, usize, usize)> {
        let known = |(at, found): (usize, Meaning)| {
            let one = self.known.get(found.known)?;
            Some((one.fact.name(), one.person, at))
        };
        self.needles.find(bytes).filter_map(known).collect()
    }

    /// Facts in a row's values, and in what they hold.
    fn marks_within(&self, row: &[Vec<Vec<u8>>]) -> Vec<(&'static str, usize)> {
        let mut marks = Vec::new();
        for reading in row.iter().flatten() {
            dig(reading, &mut |inner, _| {
                marks.extend(self.marks(inner).into_iter().map(|(fact, person, _)| (fact, person)));
            });
        }
        marks.sort_unstable();
        marks.dedup();
        marks
    }

    /// By offset in a file.
    fn places(&mut self, file: &str, bytes: &[u8]) {
        let mut by_fact: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
        for (fact, person, at) in self.marks(bytes) {
            by_fact.entry(fact).or_default().push((at, person));
        }
        for (fact, marks) in by_fact {
            let last = marks.iter().map(|(at, person)| (usize::MAX - at, *person)).collect();
            self.keep(format!("{file}: {fact}, first place"), marks);
            self.keep(format!("{file}: {fact}, last place"), last);
        }
    }

    /// By page and place in it, for each table and index apart, and for pages that belong to none.
    fn pages(&mut self, file: &str, bytes: &[u8], connection: &Connection) -> Result<()> {
        let owners = owners(connection).with_context(|| format!("reading the pages of {file}"))?;
        let size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let size = usize::try_from(size)?.max(1);
        let mut by_tree: BTreeMap<(&str, &str), Vec<Spot>> = BTreeMap::new();
        for (fact, person, at) in self.marks(bytes) {
            let (page, place) = (at / size, at % size);
            let owner = owners.get(&(page + 1)).map_or("free pages", String::as_str);
            by_tree.entry((owner, fact)).or_default().push((page, place, person));
        }
        for ((tree, fact), marks) in by_tree {
            let source = format!("{file}: {fact} in {tree}");
            let turned = |&(page, place, person): &Spot| ((page, usize::MAX - place), person);
            self.keep(format!("{source}, pages turned"), marks.iter().map(turned).collect());
            let straight = |(page, place, person)| ((page, place), person);
            self.keep(format!("{source}, pages"), marks.into_iter().map(straight).collect());
        }
        Ok(())
    }

    /// By row (row ids, where the table has them), and by each column.
    fn rows(&mut self, file: &str, database: &Database, table: &Table) -> Result<()> {
        let all = select_all(&table.name);
        let by_id = format!("{all} ORDER BY rowid");
        let plain = if database.connection.prepare(&by_id).is_ok() { by_id } else { all.clone() };
        let mut orders = vec![("row", plain)];
        for column in &table.columns {
            orders.push((column, format!("{all} ORDER BY {}", quoted(column))));
        }
        for (order, query) in orders {
            let mut by_fact: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
            for (place, row) in database.rows(&query)?.iter().enumerate() {
                for (fact, person) in self.marks_within(row) {
                    by_fact.entry(fact).or_default().push((place, person));
                }
            }
            for (fact, marks) in by_fact {
                self.keep(format!("{file}: {fact} in {}, by {order}", table.name), marks);
            }
        }
        Ok(())
    }

    /// The person whom a file is about, if it is about one only.
    fn only_person(&self, file: &str, bytes: &[u8]) -> Option<usize> {
        let mut marks = self.marks(bytes);
        marks.extend(self.marks(file.as_bytes()));
        let mut persons: Vec<usize> = marks.into_iter().map(|(_, person, _)| person).collect();
        persons.sort_unstable();
        persons.dedup();
        match persons.as_slice() {
            [person] => Some(*person),
            _ => None,
        }
    }

    /// By what the file system says of files about one person.
    fn stamps(&mut self, root: &str, personal: &[(PathBuf, usize)]) -> Result<()> {
        let mut modified = Vec::new();
        let mut born = Vec::new();
        for (path, person) in personal {
            let metadata = path.symlink_metadata()?;
            modified.push(((metadata.mtime(), metadata.mtime_nsec()), *person));
            born.push((metadata.ino(), *person));
        }
        self.keep(format!("{root}: files by time"), modified);
        self.keep(format!("{root}: files by inode"), born);
        Ok(())
    }
}

/// A page, a place in it, and the person who is there.
type Spot = (usize, usize, usize);

/// Which table or index each page belongs to; pages are numbered from 1.
fn owners(connection: &Connection) -> rusqlite::Result<BTreeMap<usize, String>> {
    let mut statement = connection.prepare("SELECT pageno, name FROM dbstat")?;
    let page = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u32>(0)?, row.get(1)?));
    let pages = statement.query_map([], page)?;
    pages.map(|page| page.map(|(number, name)| (number as usize, name))).collect()
}
