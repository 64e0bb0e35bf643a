//! The mint as its callers see it: one thing is wrong at a time, everything else is right.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod assign;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod refresh;
