//! The gateway's routes, as they are limited, counted and documented.

use gateway_api::{
    AddPeer, DEVICES, Devices, OneDevice, PEERS, Peer, REMOVE_DEVICE, RESTORE_DEVICE,
};
use service::{Access, Body, HEALTH_ROUTE, METRICS_ROUTE, Problems, Route};

/// What the gateway's OpenAPI document says first.
pub const DESCRIPTION: &str =
    "The gateway's control API: leased addresses to WireGuard peers. Knows no customer.";

/// From inside a tunnel: the gateway's inner address, and [`INSIDE_PORT`](gateway_api::INSIDE_PORT).
const INSIDE: Access = Access::Tunnel("http://100.64.0.1:3006");

/// What is refused to whoever has no grant any more.
const ENDED: Problems = &[(403, "peer-ended")];

/// The routes.
pub static ROUTES: [Route; 6] = [
    Route::post(
        PEERS,
        "Makes the device that an access token names a peer until the token ends; may be repeated.",
        Body::json::<Peer>(),
    )
    .takes(Body::json::<AddPeer>())
    .fails(&[&[
        (401, "dat-refused"),
        (401, "dat-expired"),
        (403, "device-mismatch"),
        (403, "device-removed"),
        (409, "device-limit-reached"),
        (422, "address-not-served"),
        (503, "enclave-unavailable"),
    ]]),
    Route::get(
        DEVICES,
        "Lists the devices that may use the asker's own exit address.",
        Body::json::<Devices>(),
    )
    .with(INSIDE)
    .fails(&[ENDED]),
    Route::post(
        REMOVE_DEVICE,
        "Removes a device of the asker's own exit address: its tunnel ends at once, and its key is let in no more for six \
         days; may be repeated.",
        Body::json::<Devices>(),
    )
    .takes(Body::json::<OneDevice>())
    .with(INSIDE)
    .fails(&[ENDED, &[(404, "device-unknown")]]),
    Route::post(
        RESTORE_DEVICE,
        "Takes the removal of a device of the asker's own exit address back: its token lets it in again; may be repeated.",
        Body::json::<Devices>(),
    )
    .takes(Body::json::<OneDevice>())
    .with(INSIDE)
    .fails(&[ENDED, &[(404, "device-unknown")]]),
    Route { problems: &[&[(503, "starting")]], ..HEALTH_ROUTE },
    METRICS_ROUTE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_address_is_where_the_exit_takes_flows() {
        let there = format!("http://{}:{}", crate::serve::INNER_ADDRESS, gateway_api::INSIDE_PORT);
        let inside = ROUTES.iter().filter_map(|route| match route.access {
            Access::Tunnel(url) => Some(url),
            _ => None,
        });
        assert_eq!(inside.collect::<Vec<_>>(), [&there; 3]);
    }
}
