//! Telling the user what happens.

/// Hears what a session does and has checked.
pub trait Narrator: Send + Sync {
    /// A step begins: "Drawing a token".
    fn step(&self, what: &str);
    /// A check passed: "The key is the one that the pinned tree commits to for epoch 2968".
    fn checked(&self, what: &str);
    /// Something the user should know before going on.
    fn warn(&self, what: &str);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Narrator for Silent {
    fn step(&self, _: &str) {}
    fn checked(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}
