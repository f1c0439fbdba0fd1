//! The documents this crate is built with.

/// Every document under `lexicons/`, as text.
pub(super) const DOCUMENTS: &[&str] = &[
    include_str!("../../../lexicons/dev/cocore/account/createApiKey.json"),
    include_str!("../../../lexicons/dev/cocore/account/defs.json"),
    include_str!("../../../lexicons/dev/cocore/account/deleteApiKey.json"),
    include_str!("../../../lexicons/dev/cocore/account/friend.json"),
    include_str!("../../../lexicons/dev/cocore/account/getProfile.json"),
    include_str!("../../../lexicons/dev/cocore/account/listAccounts.json"),
    include_str!("../../../lexicons/dev/cocore/account/listApiKeys.json"),
    include_str!("../../../lexicons/dev/cocore/account/listFriendEdges.json"),
    include_str!("../../../lexicons/dev/cocore/account/listIncomingFriends.json"),
    include_str!("../../../lexicons/dev/cocore/account/listProfiles.json"),
    include_str!("../../../lexicons/dev/cocore/account/profile.json"),
    include_str!("../../../lexicons/dev/cocore/account/revokeApiKey.json"),
    include_str!("../../../lexicons/dev/cocore/account/tokenGrant.json"),
    include_str!("../../../lexicons/dev/cocore/account/tokenPatronage.json"),
    include_str!("../../../lexicons/dev/cocore/appview/defs.json"),
    include_str!("../../../lexicons/dev/cocore/appview/deleteMyAccount.json"),
    include_str!("../../../lexicons/dev/cocore/appview/exportMyData.json"),
    include_str!("../../../lexicons/dev/cocore/appview/getFingerprint.json"),
    include_str!("../../../lexicons/dev/cocore/appview/getLatency.json"),
    include_str!("../../../lexicons/dev/cocore/appview/getModelActivity.json"),
    include_str!("../../../lexicons/dev/cocore/appview/getRecord.json"),
    include_str!("../../../lexicons/dev/cocore/appview/getStatus.json"),
    include_str!("../../../lexicons/dev/cocore/appview/getTotals.json"),
    include_str!("../../../lexicons/dev/cocore/appview/getWipe.json"),
    include_str!("../../../lexicons/dev/cocore/appview/listAttestations.json"),
    include_str!("../../../lexicons/dev/cocore/appview/listDisputes.json"),
    include_str!("../../../lexicons/dev/cocore/appview/listPolicies.json"),
    include_str!("../../../lexicons/dev/cocore/appview/listProfiles.json"),
    include_str!("../../../lexicons/dev/cocore/appview/listProviders.json"),
    include_str!("../../../lexicons/dev/cocore/appview/wipeMyData.json"),
    include_str!("../../../lexicons/dev/cocore/compute/attestation.json"),
    include_str!("../../../lexicons/dev/cocore/compute/defs.json"),
    include_str!("../../../lexicons/dev/cocore/compute/dispute.json"),
    include_str!("../../../lexicons/dev/cocore/compute/exchangeAttestation.json"),
    include_str!("../../../lexicons/dev/cocore/compute/exchangePolicy.json"),
    include_str!("../../../lexicons/dev/cocore/compute/job.json"),
    include_str!("../../../lexicons/dev/cocore/compute/latency.json"),
    include_str!("../../../lexicons/dev/cocore/compute/listJobs.json"),
    include_str!("../../../lexicons/dev/cocore/compute/listProviders.json"),
    include_str!("../../../lexicons/dev/cocore/compute/listReceipts.json"),
    include_str!("../../../lexicons/dev/cocore/compute/listSettlements.json"),
    include_str!("../../../lexicons/dev/cocore/compute/modelActivity.json"),
    include_str!("../../../lexicons/dev/cocore/compute/paymentAuthorization.json"),
    include_str!("../../../lexicons/dev/cocore/compute/provider.json"),
    include_str!("../../../lexicons/dev/cocore/compute/receipt.json"),
    include_str!("../../../lexicons/dev/cocore/compute/settlement.json"),
    include_str!("../../../lexicons/dev/cocore/compute/termsAcceptance.json"),
    include_str!("../../../lexicons/dev/cocore/compute/verifyReceipt.json"),
    include_str!("../../../lexicons/dev/cocore/compute/verifySettlement.json"),
    include_str!("../../../lexicons/dev/cocore/defs.json"),
    include_str!("../../../lexicons/dev/cocore/devicePair/confirm.json"),
    include_str!("../../../lexicons/dev/cocore/devicePair/poll.json"),
    include_str!("../../../lexicons/dev/cocore/devicePair/start.json"),
    include_str!("../../../lexicons/dev/cocore/inference/dispatch.json"),
    include_str!("../../../lexicons/dev/cocore/inference/status.json"),
    include_str!("../../../lexicons/dev/cocore/inference/submit.json"),
];

/// The one definition of another namespace that ours refers to: a record in exactly one version.
pub(super) const STRONG_REF: &str = r#"{
  "lexicon": 1,
  "id": "com.atproto.repo.strongRef",
  "defs": {
    "main": {
      "type": "object",
      "required": ["uri", "cid"],
      "properties": {
        "uri": { "type": "string", "format": "at-uri" },
        "cid": { "type": "string", "format": "cid" }
      }
    }
  }
}"#;
