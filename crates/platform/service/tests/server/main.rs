//! The server over real sockets: limits, problem documents, drain, the tap.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod inside;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod serving;
