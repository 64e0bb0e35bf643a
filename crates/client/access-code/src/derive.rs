//! From a code and a salt to one secret.
//!
//! ```text
//! root = Argon2id(version 0x13, password = code, salt = account's salt (16), m = 65,536 KiB, t = 3, p = 1), 32 bytes
//! ```
//!
//! The parameters belong to the format: to change them is to change the labels behind them, and so all locators. They are the
//! second of those that RFC 9106 section 4 recommends, but for one lane instead of four, which only
//! several threads would make faster.

use accounts_api::AccountSalt;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use coarse::Secret;
use zeroize::{Zeroize as _, Zeroizing};

use crate::AccessCode;

const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// A code can't be stretched.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeriveError {
    /// There isn't memory enough.
    #[error(
        "there is not enough memory to stretch the Access Code: it takes 64 MiB; close other programs and try again"
    )]
    Memory,
    /// The cryptographic library refused what it never refuses.
    #[error("the cryptographic library refused to derive keys")]
    Library,
}

/// Stretches a code.
pub(crate) fn root(code: &AccessCode, salt: &AccountSalt) -> Result<Secret<32>, DeriveError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32));
    let params = params.map_err(|_| DeriveError::Library)?;
    let mut memory = Memory::new(params.block_count())?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut root = Zeroizing::new([0; 32]);
    argon2
        .hash_password_into_with_memory(code.canonical(), salt.bytes(), &mut *root, &mut *memory.0)
        .map_err(|_| DeriveError::Library)?;
    Ok(Secret::new(*root))
}

/// Argon2's memory, wiped after use.
struct Memory(Vec<Block>);

impl Memory {
    fn new(blocks: usize) -> Result<Self, DeriveError> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(blocks).map_err(|_| DeriveError::Memory)?;
        memory.resize(blocks, Block::new());
        Ok(Self(memory))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(zeroize::Zeroize::zeroize);
        self.0.zeroize();
    }
}
