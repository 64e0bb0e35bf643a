//! Whole documents: genuine ones, spoilt ones, forged ones and our own.

mod chains;
mod development;
mod forge;
mod forged;
mod spoilt;
mod vectors;
