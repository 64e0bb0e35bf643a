//! The paper's protocol, step by step, each at the service that takes it.
//!
//! The paper (sections 4.4 and 4.5) counts 25 steps of assignment and 8 of refresh. Each has a test here that looks
//! at that step's own effect: an answer, a row in the service's database, bytes that it received or never
//! received. Where a step of the paper can't work or gives the secret away, the test is for what stands in
//! its place (marked *).
//!
//! | step | in the paper | test |
//! |---|---|---|
//! | 1 * | the client makes its subscription receipt (SRT); here the provider issues it, or anybody could | `drawing::step_01_the_provider_issues_the_srt` |
//! | 2 | the client picks a token and a blinding factor; here both come from one seed, after the key was checked | `drawing::step_02_the_client_makes_a_token_and_a_blinding_factor` |
//! | 3 * | the token is blinded; here its PSS encoding, or anybody could forge | `drawing::step_03_the_encoded_token_is_blinded` |
//! | 4 | SRT and blinded token go to the blind token service | `drawing::step_04_the_service_gets_the_srt_and_the_blinded_token` |
//! | 5 | it checks the SRT and its end | `drawing::step_05_the_service_checks_the_srt` |
//! | 6 | it checks that the subscription has not drawn yet | `drawing::step_06_a_subscription_draws_once` |
//! | 7 | it signs blindly | `drawing::step_07_the_signature_is_over_the_blinded_token` |
//! | 8 | it marks the subscription | `drawing::step_08_the_draw_is_marked_with_its_answer` |
//! | 9 | it returns the blind signature; here with a receipt of issuance, and again when asked again | `drawing::step_09_the_answer_can_be_had_again` |
//! | 10 | the client unblinds | `drawing::step_10_the_client_unblinds` |
//! | 11 | the client verifies | `drawing::step_11_the_client_verifies` |
//! | 12 | what it holds can't be linked to the subscription | `drawing::step_12_the_token_is_unknown_to_whoever_signed_it` |
//! | 13 * | a hash of the signature goes to the DIP service; here token and signature, or there would be nothing to verify | `assigning::step_13_token_and_signature_are_presented` |
//! | 14 | it checks that they are new; here a repetition finds what the first left | `assigning::step_14_a_token_is_good_for_one_lease` |
//! | 15 | it picks a free address; here a random one of the wished region | `assigning::step_15_the_address_is_a_free_one_of_the_region` |
//! | 16 | it reserves the address and keeps hash and address; here nothing is committed without the enclave's grant | `assigning::step_16_the_reservation_becomes_a_lease_with_the_grant` |
//! | 17 * | it makes an anonymous SRT, with which no refresh could ever agree; here the person's own SRT, sealed by the app | `assigning::step_17_the_enclave_sees_the_real_srt_and_nobody_else_does` |
//! | 18 * | it agrees on a key with the enclave and could read everything; here the app does | `assigning::step_18_the_app_agrees_on_a_key_with_the_enclave` |
//! | 19 | what is sealed goes to the enclave; here with the DIP service's signed order | `assigning::step_19_the_sealed_request_goes_with_an_order` |
//! | 20 | the enclave makes access (DAT) and refresh (DRT) token for the address | `assigning::step_20_the_tokens_are_for_the_address_and_the_device` |
//! | 21 * | it seals the DRT and returns both; here both are sealed, to the app | `assigning::step_21_both_tokens_are_sealed` |
//! | 22 | the DIP service returns them to the client | `assigning::step_22_the_client_opens_the_answer` |
//! | 23 | the client shows the DAT to the gateway | `connecting::step_23_the_gateway_gets_the_dat` |
//! | 24 | the gateway checks signature and end; here also that the device is the one that the DAT names | `connecting::step_24_the_gateway_checks_the_dat` |
//! | 25 | a WireGuard tunnel leaves from the address | `connecting::step_25_the_tunnel_leaves_from_the_dedicated_address` |
//! | refresh 1 | the client decrypts its DRT; here it opened it once, and keeps it | `refreshing::refresh_1_the_client_holds_its_drt` |
//! | refresh 2 * | the client makes a fresh SRT; here accounts issues it, unless the subscription was refunded | `refreshing::refresh_2_accounts_issues_a_fresh_srt` |
//! | refresh 3 | the client agrees on a key with the enclave | `refreshing::refresh_3_each_request_has_a_key_of_its_own` |
//! | refresh 4 | SRT and DRT go to the enclave, encrypted; here through the DIP service, which adds an order | `refreshing::refresh_4_srt_and_drt_are_sealed_together` |
//! | refresh 5 | the enclave checks that both agree | `refreshing::refresh_5_srt_drt_and_lease_must_agree` |
//! | refresh 6 | it makes a new DAT for the same address | `refreshing::refresh_6_a_new_dat_for_the_same_address` |
//! | refresh 7 | and a new DRT, encrypted | `refreshing::refresh_7_a_new_drt_that_nobody_else_sees` |
//! | refresh 8 | both are returned to the client; here the grant extends the lease, too | `refreshing::refresh_8_both_return_and_the_lease_is_extended` |

mod assigning;
mod connecting;
mod drawing;
mod refreshing;
