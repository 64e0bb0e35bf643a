//! The service over HTTP: each refusal, and what is kept afterwards.

#[cfg(test)]
mod assign;
#[cfg(test)]
mod documented;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod operate;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod tokens;
