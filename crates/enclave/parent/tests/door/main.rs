//! The parent between HTTP and an enclave that the tests play.

#[cfg(test)]
mod documented;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod link;
#[cfg(test)]
mod program;
#[cfg(test)]
mod routes;
