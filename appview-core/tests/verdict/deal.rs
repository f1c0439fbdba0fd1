//! A deal that is made up: an order, the work, its price and its payment, each record good and signed by who should.
//!
//! A test changes what it is about before [`Deal::evidence`] signs; whatever it sets itself is left as it is.

use appview_core::block::Cid;
use appview_core::block::json::json_to_cbor;
use appview_core::record::Catalog;
use appview_core::trust::{Document, Evidence, Exhibit, Instant, Origin, Terms};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fixtures::seed::Seed;
use fixtures::{KeyKind, SigningKey, value};
use serde_json::{Value as Json, json};

pub(crate) const PROVIDER: &str = "did:web:provider.example";
pub(crate) const REQUESTER: &str = "did:web:requester.example";
pub(crate) const EXCHANGE: &str = "did:web:exchange.example";
pub(crate) const BROKER: &str = "did:web:broker.example";

pub(crate) const NOW: &str = "2026-08-20T12:00:00Z";

pub(crate) fn at(owner: &str, name: &str, rkey: &str) -> String {
    let namespace = if name.starts_with("token") { "account" } else { "compute" };
    format!("at://{owner}/dev.cocore.{namespace}.{name}/{rkey}")
}

pub(crate) fn link(uri: &str, body: &Json) -> Json {
    json!({"uri": uri, "cid": cid(body).to_string()})
}

pub(crate) fn cid(body: &Json) -> Cid {
    Cid::of(&json_to_cbor(body).unwrap())
}

pub(crate) fn money(amount: i64) -> Json {
    json!({"amount": amount, "currency": "USD"})
}

/// The keys of all who sign.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) machine: SigningKey,
    pub(crate) exchange: SigningKey,
    pub(crate) broker: SigningKey,
}

/// The records of a deal, and whatever else is about.
#[derive(Debug, Clone)]
pub(crate) struct Deal {
    pub(crate) keys: Keys,
    pub(crate) provider: Json,
    pub(crate) policy: Json,
    pub(crate) exchange_attestation: Json,
    pub(crate) authorization: Json,
    pub(crate) job: Json,
    pub(crate) attestation: Json,
    pub(crate) receipt: Json,
    pub(crate) settlement: Json,
    /// Whether the broker is witness to the receipt.
    pub(crate) is_witnessed: bool,
    /// Other records, by their URIs.
    pub(crate) others: Vec<(String, Json)>,
    pub(crate) documents: Vec<(String, Json)>,
}

impl Deal {
    pub(crate) fn new() -> Self {
        let mut seed = Seed::new(77);
        let mut key = || SigningKey::generate(KeyKind::P256, &mut seed);
        let keys = Keys { machine: key(), exchange: key(), broker: key() };
        let hash = "35740664a3b21994de913cc96e65d8fa9b91cb47b51d4cacf38a0ea78d8cebe5";
        let documents = vec![
            (EXCHANGE.to_owned(), document(EXCHANGE, &keys.exchange)),
            (BROKER.to_owned(), document(BROKER, &keys.broker)),
        ];
        Self {
            provider: json!({
                "$type": "dev.cocore.compute.provider", "attestationPubKey": public_key(&keys.machine),
            }),
            policy: json!({
                "$type": "dev.cocore.compute.exchangePolicy", "exchange": EXCHANGE,
                "fee": {"bps": 500, "minMinor": 0, "currency": "USD"}, "supportedCurrencies": ["USD"],
                "selfLoop": {"feeWaived": true}, "createdAt": "2026-08-01T00:00:00Z",
            }),
            exchange_attestation: json!({
                "$type": "dev.cocore.compute.exchangeAttestation", "exchange": EXCHANGE, "softwareVersion": "1",
                "signingKeyFingerprint": fingerprint(&keys.exchange), "createdAt": "2026-08-01T00:00:01Z",
            }),
            authorization: json!({
                "$type": "dev.cocore.compute.paymentAuthorization", "exchange": EXCHANGE, "ceiling": money(500),
                "scope": "singleJob", "nonce": "990dde7704d91486b2a6522b4d981f3a",
                "expiresAt": "2026-08-20T13:00:00Z", "createdAt": "2026-08-20T09:00:00Z",
            }),
            job: json!({
                "$type": "dev.cocore.compute.job", "model": "m", "inputCommitment": hash, "maxTokensOut": 1024,
                "priceCeiling": money(500), "acceptedTrustLevel": "self-attested",
                "nonce": "fb0a2f5cfda9f5cbf17243018f134307",
                "expiresAt": "2026-08-20T11:00:00Z", "createdAt": "2026-08-20T09:59:59Z",
            }),
            attestation: json!({
                "$type": "dev.cocore.compute.attestation", "publicKey": public_key(&keys.machine),
                "encryptionPubKey": STANDARD.encode([7; 32]), "chipName": "c", "hardwareModel": "h",
                "serialNumberHash": hash, "osVersion": "15.6.1", "binaryHash": hash, "sipEnabled": true,
                "secureBootEnabled": true, "secureEnclaveAvailable": true, "authenticatedRootEnabled": true,
                "attestedAt": "2026-08-20T00:00:00Z", "expiresAt": "2026-08-21T00:00:00Z",
            }),
            receipt: json!({
                "$type": "dev.cocore.compute.receipt", "requester": REQUESTER, "model": "m",
                "inputCommitment": hash, "outputCommitment": hash, "tokens": {"in": 210, "out": 384},
                "startedAt": "2026-08-20T10:00:00Z", "completedAt": "2026-08-20T10:00:05Z", "price": money(120),
            }),
            settlement: json!({
                "$type": "dev.cocore.compute.settlement", "amountCharged": money(120), "providerPayout": money(114),
                "exchangeFee": money(6), "processorReference": "bGVkZ2Vy", "status": "settled",
                "settledAt": "2026-08-20T10:00:06Z",
            }),
            is_witnessed: false,
            others: Vec::new(),
            documents,
            keys,
        }
    }

    pub(crate) fn receipt_uri() -> String {
        at(PROVIDER, "receipt", "3mtiuzembxw27")
    }

    pub(crate) fn settlement_uri() -> String {
        at(EXCHANGE, "settlement", "3mtiuzemz6d27")
    }

    pub(crate) fn authorization_uri() -> String {
        at(REQUESTER, "paymentAuthorization", "3mtiuzelkrj27")
    }

    pub(crate) fn job_uri() -> String {
        at(REQUESTER, "job", "3mtiuzelsiy27")
    }

    pub(crate) fn policy_uri() -> String {
        at(EXCHANGE, "exchangePolicy", "3mtiuzemjpf27")
    }

    /// Links and signs what is not linked or signed, in the order in which the records depend on each other.
    pub(crate) fn sign(&mut self) {
        let (policy, attestation) = (Self::policy_uri(), at(PROVIDER, "attestation", "3mtiuzem2ah27"));
        let exchange_attestation = at(EXCHANGE, "exchangeAttestation", "3mtiuzemrgu27");
        set(&mut self.exchange_attestation, "policy", || link(&policy, &self.policy));
        set(&mut self.job, "paymentAuthorization", || link(&Self::authorization_uri(), &self.authorization));
        sign_record(&mut self.attestation, "selfSignature", &self.keys.machine);
        set(&mut self.receipt, "job", || link(&Self::job_uri(), &self.job));
        set(&mut self.receipt, "attestation", || link(&attestation, &self.attestation));
        sign_record(&mut self.receipt, "enclaveSignature", &self.keys.machine);
        if self.is_witnessed {
            witness(&mut self.receipt, &self.keys.broker, "0123456789abcdef0123456789abcdef");
        }
        set(&mut self.settlement, "receipt", || link(&Self::receipt_uri(), &self.receipt));
        set(&mut self.settlement, "requesterAuthorization", || {
            link(&Self::authorization_uri(), &self.authorization)
        });
        set(&mut self.settlement, "policy", || link(&policy, &self.policy));
        set(&mut self.settlement, "exchangeAttestation", || {
            link(&exchange_attestation, &self.exchange_attestation)
        });
        sign_as_exchange(&mut self.settlement, &self.keys.exchange);
    }

    /// Adds a second receipt of the same provider for the same job, a second earlier.
    pub(crate) fn second_receipt(&mut self, nonce: Option<&str>) -> String {
        self.sign();
        let mut second = self.receipt.clone();
        second.as_object_mut().unwrap().remove("enclaveSignature");
        second["completedAt"] = "2026-08-20T10:00:04Z".into();
        sign_record(&mut second, "enclaveSignature", &self.keys.machine);
        if let Some(nonce) = nonce {
            witness(&mut second, &self.keys.broker, nonce);
        }
        let uri = at(PROVIDER, "receipt", "3mtiuzembxw2a");
        self.others.push((uri.clone(), second));
        uri
    }

    /// Everything, signed.
    pub(crate) fn evidence(mut self) -> Evidence {
        self.sign();
        let records = [
            (at(PROVIDER, "provider", "3mtiuzemaaa27"), &self.provider),
            (Self::policy_uri(), &self.policy),
            (at(EXCHANGE, "exchangeAttestation", "3mtiuzemrgu27"), &self.exchange_attestation),
            (Self::authorization_uri(), &self.authorization),
            (Self::job_uri(), &self.job),
            (at(PROVIDER, "attestation", "3mtiuzem2ah27"), &self.attestation),
            (Self::receipt_uri(), &self.receipt),
            (Self::settlement_uri(), &self.settlement),
        ];
        let mut evidence = Evidence::default();
        let others = self.others.iter().map(|(uri, body)| (uri.clone(), body));
        for (uri, body) in records.into_iter().chain(others) {
            evidence.put(exhibit(&uri, body));
        }
        for (did, document) in &self.documents {
            evidence.put_document(did.parse().unwrap(), Document::new(document.clone()), Origin::Resolved);
        }
        evidence
    }
}

pub(crate) fn exhibit(uri: &str, body: &Json) -> Exhibit {
    Exhibit::new(uri.parse().unwrap(), cid(body), json_to_cbor(body).unwrap()).unwrap()
}

/// Apple's own roots, and the broker of these deals.
pub(crate) fn terms() -> Terms {
    Terms { brokerages: vec![BROKER.parse().unwrap()], ..Terms::new(Catalog::builtin().unwrap()) }
}

pub(crate) fn now() -> Instant {
    Instant::parse(NOW).unwrap()
}

fn set(body: &mut Json, member: &str, value: impl FnOnce() -> Json) {
    if body.get(member).is_none() {
        body[member] = value();
    }
}

fn without(body: &Json, members: &[&str]) -> Json {
    let mut body = body.clone();
    members.iter().for_each(|member| drop(body.as_object_mut().unwrap().remove(*member)));
    body
}

/// Signs a receipt or an attestation in DER.
pub(crate) fn sign_record(body: &mut Json, member: &str, key: &SigningKey) {
    let message = value::canonical_json(&without(body, &[member, "$type", "brokerageCountersignature"]));
    set(body, member, || STANDARD.encode(key.sign_der(message.as_bytes())).into());
}

/// Signs a record as exchanges do.
pub(crate) fn sign_as_exchange(body: &mut Json, key: &SigningKey) {
    let message = value::canonical_json(&without(body, &["sig", "$type"]));
    set(body, "sig", || URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes())).into());
}

/// Has a broker be witness to a receipt.
pub(crate) fn witness(receipt: &mut Json, key: &SigningKey, nonce: &str) {
    let message = value::canonical_json(&json!({
        "authority": BROKER, "attestation": receipt["attestation"]["uri"], "jobCid": receipt["job"]["cid"],
        "jobUri": receipt["job"]["uri"], "machineId": "m", "nonce": nonce, "requester": receipt["requester"],
    }));
    let sig = STANDARD.encode(key.sign_der(message.as_bytes()));
    receipt["brokerageCountersignature"] =
        json!({"authority": BROKER, "machineId": "m", "nonce": nonce, "sig": sig});
}

pub(crate) fn public_key(key: &SigningKey) -> String {
    STANDARD.encode(&key.public_uncompressed()[1..])
}

fn jwk(key: &SigningKey) -> Json {
    let point = key.public_uncompressed();
    json!({
        "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
        "y": URL_SAFE_NO_PAD.encode(&point[33..]),
    })
}

fn fingerprint(key: &SigningKey) -> String {
    // The digest of a CID is the SHA-256 of what it addresses.
    let digest = Cid::of(value::canonical_json(&jwk(key)).as_bytes()).to_bytes();
    URL_SAFE_NO_PAD.encode(&digest[4..])
}

pub(crate) fn document(did: &str, key: &SigningKey) -> Json {
    json!({"id": did, "verificationMethod": [{"id": format!("{did}#key"), "publicKeyJwk": jwk(key)}]})
}
