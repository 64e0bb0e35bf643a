//! A whole customer of which nothing is ours but the order of the steps: Privacy Pass, HPKE (RFC 9180), JSON Web Tokens,
//! CBOR and X.509 by npm's libraries and Node.js.

use endtoend::customer::Customer;
use endtoend::evidence::Stored;
use endtoend::program::User;
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

/// A second device of which nothing is ours opens the backup that our client made, becomes a peer at the same address, and writes
/// the backup anew; from that our client takes the address to a third device.
#[test]
fn a_device_made_of_others_libraries_takes_an_address_over_and_ours_takes_it_back() {
    let scene = Scene::open().unwrap();
    let first = User::logged_in(&scene).unwrap();
    let leased = first.assign().unwrap().json().unwrap();
    let made = first.run(&["dip", "backup"]).unwrap().json().unwrap();
    let code = made["access_code"].as_str().unwrap();
    let demo = demo_file::with_spare(&scene, &first.account, "a.b.c").unwrap();
    let arguments = ["--demo".as_ref(), demo.as_os_str(), "--code".as_ref(), code.as_ref()];
    let ran = node::run("restore.mjs", arguments).unwrap();
    assert!(ran.success, "{ran:?}");
    for same in ["dedicated_ip", "lease"] {
        assert_eq!(ran.said[same], leased[same], "{same}");
    }
    assert_eq!(ran.said["peer"]["exit_address"], leased["dedicated_ip"]);
    let status = first.run(&["dip", "backup", "status"]).unwrap().json().unwrap();
    // Refresh tokens of one hour are the same; so ours may be in the backup that they wrote.
    assert!(status["backup"] == "current" || status["backup"] == "other", "theirs opens: {status}");
    let third = first.on_another_device().unwrap().who_logs_in().unwrap();
    let restored = third.restore(code).unwrap().json().unwrap();
    assert_eq!(restored["dedicated_ip"], leased["dedicated_ip"]);
    // A wrong code opens nothing there either.
    let wrong = ["--demo".as_ref(), demo.as_os_str(), "--code".as_ref(), "another one".as_ref()];
    assert!(!node::run("restore.mjs", wrong).unwrap().success);
}
