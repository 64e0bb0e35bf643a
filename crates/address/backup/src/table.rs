//! The service's routes, as they are limited, counted and documented.

use backup_api::{Found, READ, REMOVE, Read, Remove, Removed, WRITE, Write, Written};
use service::{Body, Class, HEALTH_ROUTE, METRICS_ROUTE, Problems, Route};

/// What the service's OpenAPI document says first.
pub const DESCRIPTION: &str = "The backup service: sealed backups by locators that only their owners can compute. Knows no customer and no address.";

/// For reads, of all people together: who tries Access Codes gets no more of them tried than this. Few at once, since each holds a
/// place of the database's queue.
const GUESS: Class = Class::new("guess", 20, 200, 8);
/// For writes and removals. Anybody can write, so this bounds how fast somebody fills the disk, too.
const KEEP: Class = Class::new("keep", 20, 200, 32);

const FAILS: (u16, &str) = (503, "store-failed");
const SIGNED: Problems = &[(403, "signature-refused"), FAILS];

/// The routes.
pub static ROUTES: [Route; 5] = [
    Route::post(
        READ,
        "Answers what is at a locator: a backup, or bytes that can't be told from one.",
        Body::json::<Found>(),
    )
    .takes(Body::json::<Read>())
    .costs(GUESS)
    .fails(&[&[FAILS]]),
    Route::post(
        WRITE,
        "Keeps a backup in place of the former one; may be repeated.",
        Body::json::<Written>(),
    )
    .takes(Body::json::<Write>())
    .costs(KEEP)
    .fails(&[SIGNED, &[(503, "backups-full")]]),
    Route::post(
        REMOVE,
        "Removes a backup, also one that isn't there; may be repeated.",
        Body::json::<Removed>(),
    )
    .takes(Body::json::<Remove>())
    .costs(KEEP)
    .fails(&[SIGNED]),
    HEALTH_ROUTE,
    METRICS_ROUTE,
];
