//! A whole customer of which nothing is ours but the order of the steps: Privacy Pass, HPKE (RFC 9180), JSON Web Tokens,
//! CBOR and X.509 by npm's libraries and Node.js.

use endtoend::customer::Customer;
use endtoend::evidence::Stored;
use endtoend::scene::Scene;
use interop::{demo_file, node};

/// It verifies the provider's file and the attestation, draws a token from a seed, seals a request that the enclave opens,
/// opens the answer, verifies both tokens, and becomes a peer of the gateway.
#[test]
fn a_customer_made_of_others_libraries_becomes_a_peer() {
    let scene = Scene::open().unwrap();
    let customer = Customer::new(&scene).unwrap();
    let demo = demo_file::write(&scene, &customer).unwrap();
    let arguments = ["--demo".as_ref(), demo.as_os_str()];
    let ran = node::run("assign.mjs", arguments).unwrap();
    assert!(ran.success, "{ran:?}");
    assert_eq!(ran.said["peer"]["exit_address"], ran.said["dedicated_ip"]);
    let leases = Stored::by(&scene, "dip").unwrap().count("leases", []).unwrap();
    assert_eq!(leases, 1);
    let grants = Stored::by(&scene, "gateway").unwrap().count("grants", []).unwrap();
    assert_eq!(grants, 1);
}
