//! The address plan: which addresses a provider may lease, and what it tells others of them.
//!
//! Pure: no files, no clock, no database. What operators give is parsed here, and what is published of a pool is written here:
//!
//! - [`Cidr`], [`Block`], [`Exclusions`]: blocks as they are imported, and what is left out of them;
//! - [`warnings`]: addresses of special purpose, which the Internet doesn't reach;
//! - [`read_list`], [`write_list`]: lists of addresses as CSV;
//! - [`overlaps`], [`aggregate()`]: sets of addresses held against each other, and told in few blocks;
//! - [`Geofeed`]: where the blocks are, for those who locate addresses;
//! - [`reverse_zones`], [`forward_zone`]: names for the addresses;
//! - [`forecast()`]: when a region runs out.
//!
//! All of it is about the whole pool. Nothing here knows what is leased at present, but for the counts that a forecast starts from: a
//! geofeed or a zone of leased addresses alone would tell the world which ones are.

mod aggregate;
mod block;
mod cidr;
mod exclusions;
#[cfg(test)]
mod fixture;
mod forecast;
mod geofeed;
mod host_name;
mod lines;
mod list;
mod overlap;
mod place;
mod span;
mod special;
mod zone;

pub use aggregate::aggregate;
pub use block::{Block, BlockError};
pub use cidr::{Cidr, CidrError};
pub use exclusions::Exclusions;
pub use forecast::{Counts, Forecast, Horizon, MOST_WEEKS, Outlook, WeekAhead, forecast};
pub use geofeed::{EntryError, Geofeed, NoPlace};
pub use host_name::{HostName, HostNameError, HostPattern, PatternError};
pub use lines::{FormError, LineError, LineErrors, MOST_BYTES, MOST_ERRORS};
pub use list::{Defaults, List, MOST_ADDRESSES, RowError, Site, read_list, write_list};
pub use overlap::overlaps;
pub use place::{Place, PlaceError};
pub use special::{Special, Warning, warnings};
pub use zone::{
    Authority, Ipv6Cut, NameServer, Timers, Zone, ZoneError, forward_zone, reverse_zones,
};
