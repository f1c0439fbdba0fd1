//! Machines: what their owners offer, and what they say of themselves.

use crate::record::Bytes;
use crate::record::view::views;

views! {
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
}
