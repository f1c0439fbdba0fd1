//! The published vectors of receipt verification: canonical JSON, keys and signatures, Apple's evidence, brokers,
//! exchanges, providers and their arithmetic.
//!
//! The cases are read from a folder beside the project, see [`shared_folder`]. Each list has the number of cases that
//! VERIFICATION.md says, so that none is left out. What a stricter verifier refuses is compared as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod counted;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use appview_core::block::json::json_to_cbor;
use appview_core::block::{BlockError, Cid, Map, Value, cbor};
use appview_core::trust::app_attest::{Residency, verify_app_attest};
use appview_core::trust::assertion::verify_assertion;
use appview_core::trust::brokerage::{Countersignature, Witness, verify_countersignature};
use appview_core::trust::document::document_url;
use appview_core::trust::ledger::{Dealing, Fee, Patronage, SelfLoop, Terms};
use appview_core::trust::mda::verify_device_chain;
use appview_core::trust::p256::SRange;
use appview_core::trust::seal::{
    CodeStanding, Demand, SealPolicy, SessionKey, compare_os_versions, verify_provider,
};
use appview_core::trust::signature::{
    ATTESTATION_UNSIGNED, RECEIPT_UNSIGNED, verify_receipt_signature, verify_self_signature,
};
use appview_core::trust::signed::{RecordSignature, SignedForm, verify_record_signature};
use appview_core::trust::{
    AppId, Apple, Canonical, CanonicalError, Code, Deviation, DidDocument, DocumentKey, Encoding,
    Environment, Instant, Key, KeyFault, ReceiptSignature, SelfSignature, Signature, SignatureFault, Signer,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use counted::{all_judged, rows};
use fixtures::shared_folder;
use serde_json::Value as Json;

/// A file of vectors, if this machine has them.
fn file(name: &str) -> Option<Json> {
    let folder = shared_folder("vectors")?;
    Some(serde_json::from_slice(&fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap())
}

/// Runs each case of a list, and says how many there were.
fn run(file: &Json, name: &str, list: &str, mut case: impl FnMut(&Json)) {
    let cases = file[list].as_array().unwrap_or_else(|| panic!("{name} has no {list}"));
    cases.iter().for_each(&mut case);
    all_judged(name, list, cases.len());
}

fn text<'a>(case: &'a Json, member: &str) -> &'a str {
    case[member].as_str().unwrap_or_else(|| panic!("{member} of {case}"))
}

fn base64(case: &Json, member: &str) -> Vec<u8> {
    STANDARD.decode(text(case, member)).unwrap()
}

fn hex(case: &Json, member: &str) -> Vec<u8> {
    let text = text(case, member);
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn instant(case: &Json) -> Instant {
    Instant::parse(text(case, "now")).unwrap()
}

fn block(body: &Json) -> Vec<u8> {
    json_to_cbor(body).unwrap()
}

fn decode(block: &[u8]) -> Map<'_> {
    match cbor::decode(block) {
        Ok(Value::Map(map)) => map,
        other => panic!("{other:?}"),
    }
}

/// Whoever holds a key of which the text is given.
fn signer(key: &str, scheme: Option<&str>) -> Signer {
    let mut members = vec![("publicKey", Value::Text(key))];
    members.extend(scheme.map(|scheme| ("sigScheme", Value::Text(scheme))));
    Signer::of(&Map::from_entries(members))
}

#[test]
fn canonical_json_is_what_others_write_or_refused_for_the_same_reason() {
    let Some(file) = file("canonical-json") else { return };
    let mut canonical = Canonical::new();
    let (mut from_blocks, mut too_deep) = (0, 0);
    run(&file, "canonical-json", "cases", |case| {
        let id = text(case, "id");
        let result = canonical.json(text(case, "inputJson")).map(<[u8]>::to_vec);
        if id == "key/duplicate-keys" {
            // The one case that may be skipped: a strict parser refuses it.
            assert_eq!(result, Err(CanonicalError::DuplicateKey { key: "a".into() }));
            return;
        }
        let Ok(bytes) = &result else {
            let kind = match result.unwrap_err() {
                CanonicalError::Float { .. } => "float",
                CanonicalError::NonIntegerLiteral { .. } => "non-integer-literal",
                CanonicalError::UnsafeInteger { .. } => "unsafe-integer",
                CanonicalError::NonAsciiKey { .. } => "non-ascii-key",
                CanonicalError::LoneSurrogate { .. } => "lone-surrogate",
                other => panic!("{id}: {other}"),
            };
            assert_eq!(case["errorKind"], kind, "{id}");
            return;
        };
        assert_eq!(case["result"], "ok", "{id}");
        assert_eq!(to_hex(bytes), text(case, "canonicalHex"), "{id}");
        assert_eq!(String::from_utf8_lossy(bytes), text(case, "canonicalUtf8"), "{id}");
        let block = hex(case, "dagCborHex");
        assert_eq!(Cid::of(&block).to_string(), text(case, "cid"), "{id}");
        match cbor::decode(&block) {
            Ok(value) => {
                assert_eq!(canonical.value(&value).unwrap(), bytes, "{id}");
                from_blocks += 1;
            }
            // Blocks may not be nested as deep as text.
            Err(error) => {
                assert_eq!(error, BlockError::TooDeep, "{id}");
                too_deep += 1;
            }
        }
    });
    assert_eq!((from_blocks, too_deep), (56, 2));
}

#[test]
fn a_p256_signature_verifies_where_it_does_elsewhere() {
    let Some(file) = file("p256") else { return };
    run(&file, "p256", "cases", |case| {
        let id = text(case, "id");
        let message = hex(case, "messageHex");
        let verify = |range| {
            let (key, outer) = Key::from_base64(text(case, "publicKeyB64"))?;
            let (signature, inner) = Signature::from_base64(text(case, "signatureB64"))?;
            key.verify(&message, &signature.within(range)?)?;
            Ok::<_, SignatureFault>(outer.max(inner))
        };
        let outcome = |result: &Result<Encoding, SignatureFault>| match result {
            Ok(_) => "true",
            Err(SignatureFault::Mismatch) => "false",
            Err(SignatureFault::Malformed) => "bad-der",
            Err(SignatureFault::HighS) => "high-s",
            Err(SignatureFault::Key(KeyFault::Length { .. })) => "bad-pubkey-length",
            Err(SignatureFault::Undecodable | SignatureFault::Key(_)) => "uncaught",
            Err(other) => panic!("{id}: {other}"),
        };
        for (range, expected) in [(SRange::Any, "reference"), (SRange::Low, "referenceRequireLowS")] {
            let expected = &case[expected];
            let expected = expected.get("code").unwrap_or(&expected["outcome"]);
            assert_eq!(outcome(&verify(range)), expected.as_str().unwrap(), "{id}, {range:?}");
        }
        assert_eq!(verify(SRange::Any).is_ok(), case["accept"], "{id}");
        assert_eq!(verify(SRange::Any) == Ok(Encoding::Strict), case["acceptStrict"], "{id}");
        if let Ok((signature, _)) = Signature::from_base64(text(case, "signatureB64")) {
            assert_eq!(signature.within(SRange::Low).is_err(), case["highS"], "{id}");
        }
    });
    run(&file, "p256", "derToRaw", |case| {
        let read = Signature::from_der(&hex(case, "derHex")).map(|(signature, _)| to_hex(signature.raw()));
        match case["rawHex"].as_str() {
            Some(raw) => assert_eq!(read.as_deref(), Ok(raw), "{case}"),
            None => assert_eq!(read, Err(SignatureFault::Malformed), "{case}"),
        }
    });
}

#[test]
fn a_record_has_one_signed_form_in_either_encoding() {
    let Some(file) = file("wire") else { return };
    let app = Apple::production().app;
    let mut canonical = Canonical::new();
    run(&file, "wire", "cases", |case| {
        let id = text(case, "id");
        let signer = signer(text(case, "publicKeyB64"), None);
        for form in ["textForm", "bytesForm"] {
            let form = &case[form];
            let block = hex(form, "dagCborHex");
            assert_eq!(Cid::of(&block).to_string(), text(form, "cid"), "{id}");
            assert_eq!(json_to_cbor(&form["json"]).as_ref(), Ok(&block), "{id}");
            let body = decode(&block);
            let is_receipt = text(case, "signatureMember") == "enclaveSignature";
            let without: &[&str] = if is_receipt { &RECEIPT_UNSIGNED } else { &ATTESTATION_UNSIGNED };
            let message = canonical.record(&body, without).unwrap();
            assert_eq!(to_hex(message), text(case, "signedCanonicalHex"), "{id}");
            if is_receipt {
                let result = verify_receipt_signature(&body, &signer, &app, &mut canonical);
                assert_eq!(result, ReceiptSignature::Valid(Encoding::Strict), "{id}");
            } else {
                assert_eq!(Signer::of(&body), signer, "{id}");
                let result = verify_self_signature(&body, &signer, &app, &mut canonical);
                assert!(matches!(result, SelfSignature::Valid { .. }), "{id}: {result:?}");
            }
        }
    });
}

/// The rule by which a stricter verifier refuses what verifies; nothing for what is refused anyway.
fn strict_rule(deviations: &[Deviation]) -> Option<&'static str> {
    Some(match deviations {
        [] => return None,
        [Deviation::NameChaining] => "name chaining",
        [Deviation::PathLength] => "pathLenConstraint",
        [Deviation::UnknownCriticalExtension] => "unhandled critical extension",
        [Deviation::DuplicateExtension] => "duplicate extension",
        [Deviation::TrailingBytes | Deviation::CborTrailingBytes] => "trailing bytes",
        [Deviation::CborDuplicateKey] => "duplicate map key",
        other => panic!("{other:?}"),
    })
}

#[test]
fn app_attest_evidence_proves_what_it_does_elsewhere() {
    let Some(file) = file("app-attest") else { return };
    let root = base64(&file["context"], "trustAnchorDerB64");
    run(&file, "app-attest", "attestations", |case| {
        let id = text(case, "id");
        let apple = Apple {
            app_attest_root: root.clone().into(),
            app: AppId::new(text(case, "appId")),
            environment: match case["allowDevelopment"] {
                Json::Bool(true) => Environment::Development,
                _ => Environment::Production,
            },
            ..Apple::production()
        };
        let (key, _) = Key::from_base64(text(case, "publicKeyB64")).unwrap();
        let (object, key_id) = (base64(case, "objectB64"), base64(case, "keyIdB64"));
        let expected = &case["expected"];
        match verify_app_attest(&object, &key_id, &key, &apple, instant(case)) {
            Ok(proven) => {
                assert_eq!(expected["valid"], true, "{id}");
                assert_eq!(proven.key.point(), &base64(expected, "attestedPublicKeyUncompressedB64")[1..]);
                assert_eq!(proven.key.id().to_vec(), base64(expected, "keyIdB64"), "{id}");
                assert_eq!(to_hex(&proven.aaguid), text(expected, "aaguidHex"), "{id}");
                assert_eq!(to_hex(&proven.app), text(expected, "rpIdHashHex"), "{id}");
                let is_resident = proven.residency == Residency::Enclave;
                assert_eq!(is_resident, expected["attestedKeyIsSigningKey"], "{id}");
                assert_eq!(strict_rule(&proven.deviations), case["strictRejects"].as_str(), "{id}");
                assert!(proven.validity.contains(instant(case)), "{id}");
            }
            Err(error) => assert_eq!(Some(error.as_str()), expected["error"].as_str(), "{id}"),
        }
    });
    run(&file, "app-attest", "assertions", |case| {
        let app = AppId::new(text(case, "appId"));
        let result = Key::from_base64(text(case, "publicKeyB64")).map(|(key, _)| {
            verify_assertion(&key, &hex(case, "messageHex"), &base64(case, "assertionB64"), &app)
        });
        let expected = case.get("recommended").unwrap_or(&case["expected"]);
        assert_eq!(matches!(result, Ok(Ok(_))), *expected, "{}", text(case, "id"));
        if let Ok(Ok(encoding)) = result {
            assert_eq!(encoding == Encoding::Lenient, case.get("strictRejects").is_some());
        }
    });
}

#[test]
fn device_attestations_prove_what_they_do_elsewhere() {
    let Some(file) = file("mda") else { return };
    run(&file, "mda", "cases", |case| {
        let id = text(case, "id");
        let root = if case.get("trustAnchorDerB64").is_some() { case } else { &file["context"] };
        let apple = Apple { mda_root: base64(root, "trustAnchorDerB64").into(), ..Apple::production() };
        let chain: Vec<Vec<u8>> = case["chainDerB64"]
            .as_array()
            .unwrap()
            .iter()
            .map(|der| STANDARD.decode(der.as_str().unwrap()).unwrap())
            .collect();
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let (key, _) = Key::from_base64(text(case, "publicKeyB64")).unwrap();
        let expected = &case["expected"];
        let device = match verify_device_chain(&chain, &apple, instant(case)) {
            Ok(device) => device,
            Err(error) => {
                assert_eq!(Some(error.as_str()), expected["error"].as_str(), "{id}");
                assert_eq!(Code::from(error).as_str(), format!("mda-{}", error.as_str()));
                return;
            }
        };
        let point = device.key.as_ref().map(|key| STANDARD.encode(key.point()));
        let freshness = device.freshness.as_deref().map(to_hex);
        let mut found = serde_json::json!({
            "valid": true,
            "bindsByLeafKey": device.binds_by_key(&key),
            "bindsByFreshness": device.binds_by_freshness(&key),
            "bound": device.is_bound_to(&key),
            "leafPublicKey": point,
            "deviceSerial": device.serial,
            "deviceUdid": device.udid,
            "osVersion": device.os_version,
            "sepOsVersion": device.sep_os_version,
            "llbVersion": device.llb_version,
            "sipEnabled": device.sip,
            "secureBootEnabled": device.secure_boot,
            "thirdPartyKexts": device.third_party_kexts,
            "freshnessCodeHex": freshness,
        });
        found.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let mut expected = expected.clone();
        if id == "posture/boolean-0x01" {
            // A boolean that is none in DER. The reference takes it for true; the case's own note calls for unknown.
            assert_eq!(expected.as_object_mut().unwrap().remove("sipEnabled"), Some(Json::Bool(true)));
        }
        assert_eq!(found, expected, "{id}");
        assert_eq!(strict_rule(&device.deviations), case["strictRejects"].as_str(), "{id}");
        assert!(device.validity.contains(instant(case)), "{id}");
    });
}

/// The trusted brokers of a case, and the key of each that has a document.
fn trusted(case: &Json) -> Vec<&str> {
    case["trustedAuthorities"].as_array().unwrap().iter().map(|did| did.as_str().unwrap()).collect()
}

fn broker_key(documents: &Json, did: &str) -> Option<[u8; 64]> {
    let document = DidDocument::from_json(documents.get(did)?).unwrap();
    assert!(document.is_about(did));
    document.broker_key().copied()
}

/// Compares an outcome with `{ok, authority?, reason?}`.
fn assert_countersignature(outcome: &Countersignature<'_>, expected: &Json, id: &str) {
    let found = match *outcome {
        Countersignature::Absent => (false, None, Some("absent")),
        Countersignature::Valid { authority, .. } => (true, Some(authority), None),
        Countersignature::Refused { authority, fault } => (false, authority, Some(fault.as_str())),
    };
    let expected = (expected["ok"] == true, expected["authority"].as_str(), expected["reason"].as_str());
    assert_eq!(found, expected, "{id}");
}

#[test]
fn brokers_witness_what_they_do_elsewhere() {
    let Some(file) = file("brokerage") else { return };
    let documents = &file["context"]["didDocuments"];
    let mut canonical = Canonical::new();
    run(&file, "brokerage", "witnessMessages", |case| {
        let fields = &case["fields"];
        let witness = Witness {
            authority: text(fields, "authority"),
            attestation: text(fields, "attestation"),
            job_cid: text(fields, "jobCid"),
            job_uri: text(fields, "jobUri"),
            machine_id: text(fields, "machineId"),
            nonce: text(fields, "nonce"),
            requester: text(fields, "requester"),
        };
        assert_eq!(to_hex(witness.message(&mut canonical).unwrap()), text(case, "canonicalHex"), "{case}");
    });
    run(&file, "brokerage", "didDocumentUrls", |case| {
        let url = document_url(text(case, "did"), "https://plc.directory");
        assert_eq!(url.as_deref(), case["url"].as_str(), "{case}");
    });
    run(&file, "brokerage", "didDocumentKeys", |case| {
        let document = DidDocument::from_json(&case["document"]).unwrap();
        let key = document.broker_key().map(|point| STANDARD.encode(point));
        assert_eq!(key.as_deref(), case["keyB64"].as_str(), "{case}");
    });
    run(&file, "brokerage", "countersignatures", |case| {
        let block = block(&case["receipt"]);
        let key_of = |did: &str| broker_key(documents, did);
        let receipt = decode(&block);
        let outcome = verify_countersignature(&receipt, &trusted(case), key_of, &mut canonical);
        assert_countersignature(&outcome, &case["expected"], text(case, "id"));
    });
    let app = Apple::production().app;
    run(&file, "brokerage", "confidentialReceipts", |case| {
        let block = block(&case["receipt"]);
        let receipt = decode(&block);
        let signer = signer(text(case, "providerPublicKeyB64"), case["sigScheme"].as_str());
        let signed = verify_receipt_signature(&receipt, &signer, &app, &mut canonical);
        let is_signed = matches!(signed, ReceiptSignature::Valid(_));
        let expected = &case["expected"];
        assert_eq!(!is_signed, expected["reason"] == "provider-signature", "{}", text(case, "id"));
        if is_signed {
            let key_of = |did: &str| broker_key(documents, did);
            let outcome = verify_countersignature(&receipt, &trusted(case), key_of, &mut canonical);
            assert_countersignature(&outcome, expected, text(case, "id"));
        }
    });
}

#[test]
fn exchanges_sign_in_either_form_and_are_known_by_their_fingerprint() {
    let Some(file) = file("signed-records") else { return };
    let mut canonical = Canonical::new();
    let mut forms = BTreeMap::new();
    run(&file, "signed-records", "records", |case| {
        let id = text(case, "id");
        let block = block(&case["record"]);
        let record = decode(&block);
        let key = DocumentKey::from_jwk(case["publicKeyJwk"].as_object().unwrap()).unwrap();
        let without_type = canonical.record(&record, &["sig", "$type"]).unwrap();
        assert_eq!(to_hex(without_type), text(case, "canonicalWithoutTypeHex"), "{id}");
        let keys = std::slice::from_ref(&key);
        let outcome = verify_record_signature(&record, keys, None, &mut canonical);
        let expected = match case["expected"]["signedForm"].as_str() {
            Some("without-type") => RecordSignature::Valid(SignedForm::WithoutType),
            Some("with-type") => RecordSignature::Valid(SignedForm::WithType),
            other => {
                assert_eq!((other, &case["expected"]["valid"]), (None, &Json::Bool(false)), "{id}");
                RecordSignature::Invalid
            }
        };
        assert_eq!(outcome, expected, "{id}");
        *forms.entry(format!("{outcome:?}")).or_insert(0) += 1;
        if outcome == RecordSignature::Invalid {
            return;
        }
        for fingerprint in &key.fingerprints {
            let named = verify_record_signature(&record, keys, Some(fingerprint), &mut canonical);
            assert_eq!(named, expected, "{id}");
        }
        let other = verify_record_signature(&record, keys, Some("unsigned"), &mut canonical);
        assert_eq!(other, RecordSignature::FingerprintMismatch, "{id}");
        let none = verify_record_signature(&record, &[], None, &mut canonical);
        assert_eq!(none, RecordSignature::KeyUnresolved, "{id}");
    });
    assert_eq!(forms.len(), 3, "{forms:?}");
    run(&file, "signed-records", "fingerprints", |case| {
        let key = DocumentKey::from_jwk(case["publicKeyJwk"].as_object().unwrap()).unwrap();
        assert!(key.fingerprints.iter().any(|known| known == text(case, "fingerprint")), "{case}");
    });
}

fn texts(value: &Json) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

fn demand(policy: &Json, member: &str) -> Demand {
    if policy[member] == true { Demand::Required } else { Demand::Waived }
}

fn policy(policy: &Json) -> SealPolicy<'_> {
    let session_key = policy.get("sessionKey").map(|key| SessionKey {
        ephemeral_pub_key: text(key, "ephemeralPubKey"),
        nonce: text(key, "nonce"),
        attestation_cid: text(key, "attestationCid"),
        signature: text(key, "signature"),
    });
    SealPolicy {
        confidential: demand(policy, "requireConfidential"),
        known_cd_hashes: texts(&policy["knownGoodCdHashes"]),
        known_metallib_hashes: policy.get("knownGoodMetallibHashes").map(texts),
        known_engine_lib_hashes: policy.get("knownGoodEngineLibHashes").map(texts),
        hardware_bound_key: demand(policy, "requireHardwareBoundKey"),
        secure_enclave_key: demand(policy, "requireSecureEnclaveKey"),
        os_floor: policy["osFloor"].as_str(),
        code: match (&policy["requireCodeAttested"], &policy["codeAttested"]) {
            (Json::Bool(false), _) => CodeStanding::Waived,
            (_, Json::Bool(true)) => CodeStanding::Attested,
            _ => CodeStanding::Unknown,
        },
        session_key,
        session_key_demand: demand(policy, "requireSessionKey"),
        nonce: policy["nonce"].as_str(),
        attestation_cid: policy["attestationCid"].as_str(),
    }
}

#[test]
fn providers_are_sealed_to_where_they_are_elsewhere() {
    let Some(file) = file("provider-seal") else { return };
    let context = &file["context"];
    let apple = Apple {
        mda_root: base64(context, "mdaTrustAnchorDerB64").into(),
        app_attest_root: base64(context, "appAttestTrustAnchorDerB64").into(),
        app: AppId::new(text(context, "appId")),
        environment: Environment::Production,
    };
    let mut canonical = Canonical::new();
    run(&file, "provider-seal", "cases", |case| {
        let id = text(case, "id");
        let block = block(&case["attestation"]);
        let attestation = decode(&block);
        let policy = policy(&case["policy"]);
        let verdict = verify_provider(&attestation, &policy, &apple, instant(case), &mut canonical);
        let expected = &case["expected"];
        let codes: Vec<&str> = verdict.findings.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!(codes, texts(&expected["codes"]), "{id}");
        let severities: BTreeSet<&str> =
            verdict.findings.iter().map(|finding| finding.severity.as_str()).collect();
        // Our word, and the lexicon's, for what the reference calls `warn`.
        let words = texts(&expected["severities"]);
        let words = words.iter().map(|word| if *word == "warn" { "warning" } else { word }).collect();
        assert_eq!(severities, words, "{id}");
        assert_eq!(verdict.is_ok(), expected["ok"], "{id}");
        assert_eq!(verdict.tier.as_str(), text(expected, "tier"), "{id}");
        assert_eq!(verdict.seal_to, expected["sealToKey"].as_str(), "{id}");
    });
    run(&file, "provider-seal", "osVersionComparisons", |case| {
        let order = compare_os_versions(text(case, "a"), text(case, "b"));
        assert_eq!(order as i64, case["result"].as_i64().unwrap(), "{case}");
    });
    run(&file, "provider-seal", "sessionKeyMessages", |case| {
        let key = SessionKey {
            ephemeral_pub_key: text(case, "ephemeralPubKey"),
            nonce: text(case, "nonce"),
            attestation_cid: text(case, "attestationCid"),
            signature: "",
        };
        assert_eq!(to_hex(key.message(&mut canonical).unwrap()), text(case, "canonicalHex"), "{case}");
    });
}

fn amount(case: &Json, member: &str) -> u64 {
    case[member].as_u64().unwrap_or_else(|| panic!("{member} of {case}"))
}

/// The books of an exchange, kept the way the reference keeps them.
struct Books<'a> {
    policy: &'a Json,
    balances: BTreeMap<&'a str, u64>,
    scores: BTreeMap<&'a str, u64>,
}

impl<'a> Books<'a> {
    fn balance(&mut self, did: &'a str) -> &mut u64 {
        let grant = amount(self.policy, "tokenGrant");
        self.balances.entry(did).or_insert(grant)
    }

    fn settle(&mut self, receipt: &'a Json) {
        let (requester, provider) = (text(receipt, "requester"), text(receipt, "provider"));
        let tokens = amount(receipt, "tokens");
        let fee = Fee { bps: amount(self.policy, "feeBps"), min_minor: amount(self.policy, "feeMinMinor") };
        let self_loop = (self.policy["selfLoopFeeWaived"] == true).then_some(SelfLoop::Waived);
        let dealing = if requester == provider { Dealing::SelfLoop } else { Dealing::Usual };
        let fee = Terms { fee, self_loop }.fee(tokens, dealing);
        *self.balance(requester) -= tokens;
        *self.balance(provider) += tokens - fee;
        *self.balance(text(self.policy, "treasuryDid")) += fee;
        *self.scores.entry(requester).or_default() += tokens;
        *self.scores.entry(provider).or_default() += tokens - fee;
    }
}

#[test]
fn fees_and_shares_are_computed_as_they_are_elsewhere() {
    let Some(file) = file("ledger-math") else { return };
    run(&file, "ledger-math", "fees", |case| {
        let fee = Fee { bps: amount(case, "bps"), min_minor: amount(case, "minMinor") };
        assert_eq!(fee.of(amount(case, "amount")), amount(case, "fee"), "{case}");
    });
    let periods = file["patronage"].as_array().unwrap();
    for case in periods {
        let id = text(case, "id");
        let policy = &case["policy"];
        let treasury = text(policy, "treasuryDid");
        let mut books = Books { policy, balances: BTreeMap::new(), scores: BTreeMap::new() };
        case["receipts"].as_array().unwrap().iter().for_each(|receipt| books.settle(receipt));
        let before = &case["balancesBefore"];
        let found: BTreeMap<&str, u64> = before
            .as_object()
            .unwrap()
            .keys()
            .map(|did| (did.as_str(), books.balances.get(did.as_str()).copied().unwrap_or_default()))
            .collect();
        assert_eq!(serde_json::json!(found), *before, "{id}");

        books.scores.remove(treasury);
        let total = books.scores.values().sum();
        let (mut recipients, mut by_lexicon) = (BTreeMap::new(), BTreeMap::new());
        for (did, score) in &books.scores {
            let share = Patronage {
                treasury: found[treasury],
                fraction_bps: amount(policy, "fractionBps"),
                score: *score,
                total,
            };
            if share.credit() > 0 {
                assert!(share.accepts(share.credit()) && share.accepts(share.lexicon_credit()));
                recipients.insert(*did, (*score, share.credit()));
                by_lexicon.insert(*did, share.lexicon_credit());
            }
        }
        let list = |list: &'static str, member: &'static str| -> BTreeMap<&str, u64> {
            let list = case.pointer(list).unwrap().as_array().unwrap();
            list.iter().map(|entry| (text(entry, "did"), amount(entry, member))).collect()
        };
        let scores = list("/distribution/recipients", "patronageScore");
        let credits = list("/distribution/recipients", "tokensCredited");
        let expected =
            scores.into_iter().map(|(did, score)| (did, (score, credits[did]))).collect::<BTreeMap<_, _>>();
        assert_eq!(recipients, expected, "{id}");
        assert_eq!(by_lexicon, list("/lexiconFormula", "tokensCredited"), "{id}");
        let shared: u64 = recipients.values().map(|(_, credit)| credit).sum();
        assert_eq!(shared, amount(&case["distribution"], "totalDistributed"), "{id}");
        let after = &case["balancesAfter"];
        assert_eq!(amount(after, treasury), found[treasury] - shared, "{id}");
        for (did, (_, credit)) in &recipients {
            assert_eq!(amount(after, did), found[did] + credit, "{id}");
        }
    }
    all_judged("ledger-math", "patronage", periods.len());
}

#[test]
fn every_list_of_vectors_is_written_down() {
    let mut lists = BTreeSet::new();
    let rows = rows();
    for name in rows.iter().map(|(name, _, _)| name) {
        let Some(file) = file(name) else { return };
        for (list, value) in file.as_object().unwrap() {
            if value.is_array() {
                lists.insert(format!("{name} {list}"));
            }
        }
    }
    let written: BTreeSet<String> = rows.iter().map(|(name, list, _)| format!("{name} {list}")).collect();
    assert_eq!(lists, written);
}
