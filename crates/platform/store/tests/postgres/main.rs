//! PostgreSQL: jobs, failures, schemas, settings, and what the order of rows tells.

#[cfg(test)]
mod failures;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod order;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod room;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod settings;
