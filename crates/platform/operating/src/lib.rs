//! What operators ask of a running service, from both ends.
//!
//! A service's operator commands are requests to the service itself, which alone has its database open: [`Connection`] sends them with the
//! operator's token and name. The service lets them through with [`service::operator_only`] and that token ([`operator_token`]), and
//! leaves a line in the audit trail for each act ([`Acts`]). [`print()`] and [`Table`] show what came of it.

mod acts;
mod connection;
mod print;
mod problem;
mod token;

pub use acts::{Acts, OPERATOR, OperatorName};
pub use connection::{Asker, Connection, Home};
pub use print::{Table, print, say};
pub use problem::{PROBLEM_SOURCE, TRAIL_FAILED};
pub use token::{operator_token, token_file};
