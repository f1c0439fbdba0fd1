//! Typed views of the `dev.cocore.compute` records.
//!
//! Member by member as the lexicons name them; what a member means, in which unit and who checks it, is told there.

use super::view::views;
use super::{Bytes, FreeForm, StrongRef};

views! {
    /// A machine's signed account of itself.
    record Attestation {
        required {
            /// The key attested, base64.
            public_key: String,
            /// The key prompts may be sealed to, base64.
            encryption_pub_key: String,
            /// The processor's name.
            chip_name: String,
            /// The manufacturer's model identifier.
            hardware_model: String,
            /// Hex SHA-256 over serial number and owner.
            serial_number_hash: String,
            /// The operating system's version.
            os_version: String,
            /// Hex SHA-256 of the agent's executable.
            binary_hash: String,
            /// Whether System Integrity Protection is on.
            sip_enabled: bool,
            /// Whether only signed system software boots.
            secure_boot_enabled: bool,
            /// Whether a Secure Enclave is usable.
            secure_enclave_available: bool,
            /// Whether the system volume is sealed.
            authenticated_root_enabled: bool,
            /// The signature by `public_key` over the rest.
            self_signature: Bytes,
            /// Start of validity.
            attested_at: String,
            /// End of validity.
            expires_at: String,
        }
        optional {
            /// How `public_key` signs; `p256` when absent.
            sig_scheme: String,
            /// How to seal to `encryption_pub_key`; `x25519` when absent.
            enc_scheme: String,
            /// The agent's code directory hash, hex.
            cd_hash: String,
            /// The developer team that signed the agent.
            team_id: String,
            /// Whether the agent runs under the hardened runtime.
            hardened_runtime: bool,
            /// Whether the agent loads signed libraries only.
            library_validation: bool,
            /// Whether other processes may debug the agent.
            get_task_allow: bool,
            /// Hex SHA-256 of the GPU shader library.
            metallib_hash: String,
            /// Hex SHA-256 of the inference engine's library.
            engine_lib_hash: String,
            /// Whether inference happens inside the measured process.
            in_process_backend: bool,
            /// Whether debuggers are refused.
            anti_debug: bool,
            /// Whether a crash writes no memory to disk.
            core_dumps_disabled: bool,
            /// Whether dangerous environment variables were cleared.
            env_scrubbed: bool,
            /// Whether remote memory access is off.
            rdma_disabled: bool,
            /// Device attestation certificates, DER, leaf first.
            mda_cert_chain: Vec<Bytes>,
            /// App Attest evidence.
            app_attest: AppAttest,
            /// The confidentiality the machine claims.
            tier: String,
        }
    }

    /// App Attest evidence of an [`Attestation`].
    object AppAttest {
        required {
            /// The attestation object.
            object: Bytes,
            /// The identifier of the key.
            key_id: Bytes,
        }
        optional {}
    }

    /// An objection to a settlement.
    record Dispute {
        required {
            /// The settlement complained about.
            settlement: StrongRef,
            /// The exchange's DID.
            exchange: String,
            /// The DID that complained.
            raised_by: String,
            /// When the complaint arrived.
            raised_at: String,
            /// What it is about.
            reason: DisputeReason,
            /// `open` or `resolved`.
            status: String,
            /// When it was published.
            created_at: String,
        }
        optional {
            /// The decision.
            outcome: DisputeOutcome,
            /// The CID of material kept elsewhere.
            evidence_cid: String,
            /// The exchange's signature.
            sig: String,
        }
    }

    /// Why a [`Dispute`] was raised.
    object DisputeReason {
        required {
            /// The kind of complaint.
            category: String,
        }
        optional {
            /// The complaint in words.
            detail: String,
        }
    }

    /// How a [`Dispute`] was decided.
    object DisputeOutcome {
        required {
            /// The decision.
            verdict: String,
            /// When it was made.
            decided_at: String,
        }
        optional {
            /// The settlement that pays back.
            refund_settlement: StrongRef,
            /// The reasons.
            rationale: String,
        }
    }

    /// An exchange's account of the software and key it runs with.
    record ExchangeAttestation {
        required {
            /// The exchange's DID.
            exchange: String,
            /// The policy published with it.
            policy: StrongRef,
            /// The software's version.
            software_version: String,
            /// Which key signs.
            signing_key_fingerprint: String,
            /// When it was published.
            created_at: String,
        }
        optional {
            /// What the exchange says about oversight.
            audit_posture: String,
        }
    }

    /// The terms of an exchange.
    record ExchangePolicy {
        required {
            /// The exchange's DID.
            exchange: String,
            /// The exchange's share.
            fee: FeeSchedule,
            /// The currencies it settles in.
            supported_currencies: Vec<String>,
            /// The rule for requester and provider being one.
            self_loop: SelfLoopRule,
            /// When it was published.
            created_at: String,
        }
        optional {
            /// One price for all models.
            token_rate: TokenRate,
            /// What moves the money.
            processor: String,
            /// Where the terms of use are.
            terms_uri: String,
            /// Their version.
            terms_version: String,
            /// Credits a newcomer gets.
            token_grant: i64,
            /// Credits that must remain.
            token_floor: i64,
            /// The DID that takes fees and pays patronage.
            treasury_did: String,
            /// Recurring credits.
            weekly_refresh: RefreshRule,
            /// What returns to those who traded.
            patronage_distribution: PatronageRule,
            /// Whether it applies to new business; true when absent.
            active: bool,
        }
    }

    /// How an exchange's share is computed.
    object FeeSchedule {
        required {
            /// Hundredths of a percent.
            bps: i64,
            /// The least fee, in the currency's smallest unit.
            min_minor: i64,
            /// The currency of `min_minor`.
            currency: String,
        }
        optional {}
    }

    /// What is charged when requester and provider are one account.
    object SelfLoopRule {
        required {
            /// Whether there is no fee.
            fee_waived: bool,
        }
        optional {
            /// The flat fee otherwise.
            min_minor: i64,
        }
    }

    /// Recurring credits.
    object RefreshRule {
        required {
            /// Credits each time.
            amount_per_did: i64,
            /// The period in minutes.
            cadence_minutes: i64,
        }
        optional {}
    }

    /// How part of a treasury returns to those who traded.
    object PatronageRule {
        required {
            /// Hundredths of a percent of the treasury.
            fraction_bps: i64,
            /// The period in days.
            cadence_days: i64,
        }
        optional {}
    }

    /// An order.
    record Job {
        required {
            /// The model to run.
            model: String,
            /// Hex SHA-256 of the plaintext input.
            input_commitment: String,
            /// The most output tokens.
            max_tokens_out: i64,
            /// The most the requester pays.
            price_ceiling: Money,
            /// The least trust level accepted.
            accepted_trust_level: String,
            /// The authorization it may be paid from.
            payment_authorization: StrongRef,
            /// 32 hex characters, fresh for each job.
            nonce: String,
            /// The last moment a receipt counts.
            expires_at: String,
            /// When it was written.
            created_at: String,
        }
        optional {
            /// What the sealed bytes are; `text` when absent.
            input_format: String,
            /// Where the sealed prompt can be fetched.
            #[serde(rename = "inputCipherURL")]
            input_cipher_url: String,
            /// The owners whose machines may do it.
            accepted_providers: Vec<String>,
            /// The exchanges that may settle it.
            accepted_exchanges: Vec<String>,
            /// The form the reply must have.
            output_schema: OutputSchema,
            /// Functions the model may ask to call.
            tools: Vec<Tool>,
            /// Whether the model must use tools.
            tool_choice: String,
            /// The one function it must call.
            tool_choice_function: String,
        }
    }

    /// The form a reply to a [`Job`] must have.
    object OutputSchema {
        required {}
        optional {
            /// Its name.
            name: String,
            /// Whether it binds strictly.
            strict: bool,
            /// A JSON Schema.
            schema: FreeForm,
        }
    }

    /// A tool of a [`Job`].
    object Tool {
        required {
            /// The kind of tool; `function` so far.
            #[serde(rename = "type")]
            kind: String,
            /// The function.
            function: ToolFunction,
        }
        optional {}
    }

    /// A function the model may ask the requester to call.
    object ToolFunction {
        required {
            /// Its name.
            name: String,
        }
        optional {
            /// What it does, in words.
            description: String,
            /// A JSON Schema of its parameters.
            parameters: FreeForm,
        }
    }

    /// A requester's permission to charge.
    record PaymentAuthorization {
        required {
            /// The DID of the only exchange that may charge.
            exchange: String,
            /// The most one settlement may charge.
            ceiling: Money,
            /// `singleJob` or `session`.
            scope: String,
            /// 32 hex characters.
            nonce: String,
            /// The last moment it can be used.
            expires_at: String,
            /// When it was written.
            created_at: String,
        }
        optional {
            /// The most all charges of a session may sum to.
            session_budget: Money,
        }
    }

    /// A machine on offer.
    record Provider {
        required {
            /// What the owner calls the machine.
            machine_label: String,
            /// The processor.
            chip: String,
            /// Memory in gigabytes.
            #[serde(rename = "ramGB")]
            ram_gb: i64,
            /// Models it can serve now.
            supported_models: Vec<String>,
            /// Asking price per model.
            price_list: Vec<ModelPrice>,
            /// The key prompts are sealed to, base64.
            encryption_pub_key: String,
            /// The key receipts are signed with, base64.
            attestation_pub_key: String,
            /// The trust level the owner claims.
            trust_level: String,
            /// When this version was written.
            created_at: String,
        }
        optional {
            /// GPU cores.
            gpu_cores: i64,
            /// Memory bandwidth in gigabytes per second.
            #[serde(rename = "memoryBandwidthGBs")]
            memory_bandwidth_gbs: i64,
            /// CPU cores.
            cpu_cores: i64,
            /// Performance cores among them.
            p_cores: i64,
            /// Efficiency cores among them.
            e_cores: i64,
            /// The manufacturer's identifier of the hardware.
            model_identifier: String,
            /// Operating system and version.
            os: String,
            /// Models the owner wants loaded.
            desired_models: Vec<String>,
            /// A stable mark of the physical machine.
            machine_fingerprint: String,
            /// The confidentiality reached.
            tier: String,
            /// The confidentiality asked for.
            desired_tier: String,
            /// Exchanges the owner is willing to be paid by.
            accepted_exchanges: Vec<String>,
            /// Who is served free of charge.
            pro_bono: ProBonoPolicy,
            /// Where a dispatcher reaches the machine.
            contact_endpoint: String,
            /// The owner's switch; true when absent.
            active: bool,
            /// Whether the engine has yet to load.
            provisioning: bool,
            /// Whether the serve loop runs.
            serving: bool,
            /// Whether the owner can receive money.
            payouts_enabled: bool,
            /// The agent's version.
            binary_version: String,
            /// Why the engine does not start.
            engine_fault: EngineFault,
            /// Why there is no attestation.
            attestation_fault: AttestationFault,
            /// Why no advisor is reached.
            advisor_fault: AdvisorFault,
            /// The older opt-in to tool jobs.
            tool_calls: bool,
            /// The refusal of tool jobs.
            tool_calls_disabled: bool,
            /// Consent to publish a country.
            share_location: bool,
            /// The country, two letters.
            region: String,
            /// How it was found.
            region_source: String,
            /// When it was found.
            region_observed_at: String,
        }
    }

    /// Whom a [`Provider`] serves free of charge.
    object ProBonoPolicy {
        required {
            /// `any` or `direct`.
            mode: String,
        }
        optional {
            /// The requesters of mode `direct`.
            dids: Vec<String>,
        }
    }

    /// Why a [`Provider`]'s engine does not start.
    object EngineFault {
        required {
            /// A code.
            code: String,
            /// An explanation.
            message: String,
            /// When it was met.
            at: String,
        }
        optional {
            /// The models concerned.
            models: Vec<String>,
        }
    }

    /// Why a [`Provider`] has no attestation.
    object AttestationFault {
        required {
            /// A code.
            code: String,
            /// An explanation.
            message: String,
            /// When it was met.
            at: String,
        }
        optional {}
    }

    /// Why a [`Provider`] reaches no advisor.
    object AdvisorFault {
        required {
            /// A code.
            code: String,
            /// An explanation.
            message: String,
            /// When it was met.
            observed_at: String,
        }
        optional {}
    }

    /// A machine's signed account of one finished job.
    record Receipt {
        required {
            /// The job done.
            job: StrongRef,
            /// The DID it was done for.
            requester: String,
            /// The model run.
            model: String,
            /// Hex SHA-256 of the plaintext input.
            input_commitment: String,
            /// Hex SHA-256 of the plaintext output.
            output_commitment: String,
            /// Tokens read and produced.
            tokens: TokenCounts,
            /// When the machine began.
            started_at: String,
            /// When the reply was finished.
            completed_at: String,
            /// What the provider asks for it.
            price: Money,
            /// The attestation whose key signed.
            attestation: StrongRef,
            /// The signature by that key.
            enclave_signature: Bytes,
        }
        optional {
            /// Hex SHA-256 over the sealed chunks of the reply.
            output_cipher_commitment: String,
            /// Hex SHA-256 of the reasoning text.
            reasoning_commitment: String,
            /// Hex SHA-256 over the session's key and nonce.
            session_key_commitment: String,
            /// The session's nonce, hex.
            session_nonce: String,
            /// Settings of the generation.
            params: GenerationParams,
            /// Where the sealed reply can be fetched.
            #[serde(rename = "outputCipherURL")]
            output_cipher_url: String,
            /// The confidentiality claimed.
            tier: String,
            /// Whether it was free of charge.
            pro_bono: bool,
            /// A broker's witness.
            brokerage_countersignature: BrokerageCountersignature,
        }
    }

    /// A broker's witness to a [`Receipt`].
    object BrokerageCountersignature {
        required {
            /// The broker's DID.
            authority: String,
            /// The broker's name for the machine.
            machine_id: String,
            /// Hex text, used once.
            nonce: String,
            /// The signature.
            sig: Bytes,
        }
        optional {}
    }

    /// Settings a reply was generated under.
    object GenerationParams {
        required {}
        optional {
            /// The limit on output tokens.
            max_tokens: i64,
            /// The seed of the random generator.
            seed: i64,
            /// Sampling temperature times 1000.
            temperature_milli: i64,
            /// Nucleus threshold times 1000.
            top_p_milli: i64,
            /// Hex SHA-256 of the job's output schema.
            output_schema_hash: String,
            /// Hex SHA-256 of the job's tools.
            tool_schema_hash: String,
        }
    }

    /// An exchange's account of the money moved for one receipt.
    record Settlement {
        required {
            /// The receipt paid for.
            receipt: StrongRef,
            /// The permission to charge.
            requester_authorization: StrongRef,
            /// Taken from the requester, or given back.
            amount_charged: Money,
            /// The provider's share.
            provider_payout: Money,
            /// The exchange's share.
            exchange_fee: Money,
            /// The exchange's own handle of the payment.
            processor_reference: Bytes,
            /// `settled`, `refunded` or `disputed`.
            status: String,
            /// When the books were changed.
            settled_at: String,
        }
        optional {
            /// The charge given back.
            refund_of: StrongRef,
            /// The policy the fee follows.
            policy: StrongRef,
            /// The exchange attestation in force.
            exchange_attestation: StrongRef,
            /// The exchange's signature.
            sig: String,
        }
    }

    /// A user's agreement to an exchange's terms.
    record TermsAcceptance {
        required {
            /// The exchange's DID.
            exchange: String,
            /// The policy shown.
            policy: StrongRef,
            /// The version accepted.
            terms_version: String,
            /// The address of the text accepted.
            terms_uri: String,
            /// When it was accepted.
            accepted_at: String,
        }
        optional {
            /// The program it was accepted with.
            user_agent: String,
            /// The exchange attestation that tells the key.
            attestation: StrongRef,
            /// The exchange's signature.
            sig: String,
        }
    }

    /// An amount of a currency.
    object Money {
        required {
            /// Whole smallest units.
            amount: i64,
            /// The currency's code.
            currency: String,
        }
        optional {}
    }

    /// Tokens of one job.
    object TokenCounts {
        required {
            /// Tokens the model read.
            #[serde(rename = "in")]
            input: i64,
            /// Tokens the model produced.
            #[serde(rename = "out")]
            output: i64,
        }
        optional {}
    }

    /// The price of one model.
    object ModelPrice {
        required {
            /// The model.
            model_id: String,
            /// The price of a million input tokens.
            input_price_per_m_tok: i64,
            /// The price of a million output tokens.
            output_price_per_m_tok: i64,
            /// The currency of both.
            currency: String,
        }
        optional {}
    }

    /// One price for all models.
    object TokenRate {
        required {
            /// The price of a million input tokens.
            input_price_per_m_tok: i64,
            /// The price of a million output tokens.
            output_price_per_m_tok: i64,
            /// The currency of both.
            currency: String,
        }
        optional {}
    }
}
