//! Work: an order, the permission to charge for it, and the account of it done.

use crate::record::view::views;
use crate::record::{Bytes, FreeForm, StrongRef};

views! {
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
}
