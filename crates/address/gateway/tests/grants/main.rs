//! The gateway's transactions.

#[cfg(test)]
mod places;
#[cfg(test)]
mod promises;
