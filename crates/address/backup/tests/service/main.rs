//! The service over HTTP: what it answers, each refusal, and what is kept afterwards.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod documented;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod writing;
