// Made from the description at /docs: TOOLX_GOLDEN=write npx vitest run test/unit/client
export interface paths {
    "/v1/tasks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The tasks of the tenant, newest first. */
        get: {
            parameters: {
                query?: {
                    /** @description on the local socket; otherwise the tenant is the API key's */
                    tenant_id?: string;
                    /** @description states with commas between, or unfinished */
                    state?: string;
                    limit?: number;
                    /** @description next_cursor of the page before */
                    cursor?: string;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            tasks: {
                                tenant_id: string;
                                task_id: string;
                                tool_name: string;
                                /** @enum {unknown} */
                                state: "RECEIVED" | "QUEUED" | "LEASED" | "STARTING" | "RUNNING" | "COLLECTING" | "FINISHED";
                                reason: string | null;
                                attempt: number;
                                cancel_requested: boolean;
                                /** Format: date-time */
                                received_at: string;
                                /** Format: date-time */
                                started_at?: string | null;
                                /** Format: date-time */
                                finished_at?: string | null;
                            }[];
                            next_cursor: string | null;
                        };
                    };
                };
            };
        };
        put?: never;
        /** Run a tool call. The same request again gets the first task's answer. */
        post: {
            parameters: {
                query?: {
                    /** @description how long to wait for the result, such as 30s; at most 300s */
                    wait?: string;
                };
                header?: {
                    /** @description the task_id */
                    "idempotency-key"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": {
                        /** @enum {unknown} */
                        schema_version?: 1;
                        task_id: string;
                        tenant_id?: string;
                        persona?: string | null;
                        tool_name: string;
                        payload: Record<string, unknown>;
                        files?: {
                            path: string;
                            content_base64?: string;
                            sha256?: string;
                            executable?: boolean;
                        }[];
                        stdin?: string | null;
                        limits?: {
                            timeout_seconds?: number;
                            cpus?: number;
                            memory_mb?: number;
                            pids?: number;
                            disk_mb?: number;
                            output_mb?: number;
                            inodes?: number;
                            log_mb?: number;
                        };
                        network?: {
                            allow?: string[];
                        };
                        env?: {
                            [key: string]: string;
                        };
                        secrets?: {
                            name: string;
                            /** @enum {unknown} */
                            as: "env" | "file";
                        }[];
                        image?: string | null;
                        runtime?: string | null;
                        priority?: number;
                        /** @enum {unknown} */
                        retry?: "safe" | "unsafe";
                        not_before?: string | null;
                        expires_at?: string | null;
                        callback_url?: string | null;
                        metadata?: Record<string, unknown>;
                    };
                };
            };
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            /** @enum {unknown} */
                            schema_version: 1;
                            task_id: string | null;
                            tenant_id: string;
                            tool_name: string | null;
                            /** @enum {unknown} */
                            status: "success" | "failed";
                            /** @enum {unknown} */
                            reason: "ok" | "nonzero_exit" | "timeout" | "oom" | "pids_limit" | "disk_full" | "output_limit" | "result_invalid" | "cancelled" | "expired" | "validation" | "unknown_tool" | "policy_denied" | "conflict" | "quota" | "image" | "sandbox" | "worker_lost" | "internal";
                            exit_code: number | null;
                            signal: string | null;
                            error: {
                                /** @enum {unknown} */
                                code: "ok" | "nonzero_exit" | "timeout" | "oom" | "pids_limit" | "disk_full" | "output_limit" | "result_invalid" | "cancelled" | "expired" | "validation" | "unknown_tool" | "policy_denied" | "conflict" | "quota" | "image" | "sandbox" | "worker_lost" | "internal";
                                message: string;
                                hint: string | null;
                                retryable: boolean;
                                details: {
                                    path: string;
                                    message: string;
                                }[];
                            } | null;
                            output: {
                                value: unknown;
                                stdout: string;
                                stderr: string;
                                /** @enum {unknown} */
                                stdout_encoding: "utf-8" | "base64";
                                /** @enum {unknown} */
                                stderr_encoding: "utf-8" | "base64";
                                stdout_bytes: number;
                                stderr_bytes: number;
                                truncated: boolean;
                                results: {
                                    mime: string;
                                    artifact: string;
                                }[];
                                artifacts: {
                                    path: string;
                                    size_bytes: number;
                                    sha256: string;
                                    mime: string;
                                    url: string;
                                    secrets: string[];
                                }[];
                                artifacts_object: string | null;
                                logs_object: string | null;
                            };
                            metrics: {
                                queue_ms: number | null;
                                start_ms: number | null;
                                run_ms: number | null;
                                duration_ms: number | null;
                                cpu_ms: number | null;
                                memory_peak_bytes: number | null;
                                pids_peak: number | null;
                                egress_bytes: number | null;
                                egress_connections: number | null;
                                /** @enum {unknown} */
                                source: "cgroup" | "sampled" | null;
                                redactions: number;
                            };
                            egress: {
                                host: string | null;
                                port: number | null;
                                /** @enum {unknown} */
                                verdict: "allowed" | "denied" | "failed";
                                bytes_in: number;
                                bytes_out: number;
                                connections: number;
                                why: string | null;
                                hint: string | null;
                            }[];
                            sandbox: {
                                image: string;
                                image_id: string;
                                runtime: string;
                                warm: boolean;
                                limits: {
                                    timeout_seconds: number;
                                    cpus: number;
                                    memory_mb: number;
                                    pids: number;
                                    disk_mb: number;
                                    output_mb: number;
                                    inodes: number;
                                    log_mb: number;
                                };
                            } | null;
                            attempt: number;
                            trace_id: string | null;
                            metadata: Record<string, unknown>;
                            result_object?: string;
                        };
                    };
                };
                /** @description Default Response */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            tenant_id: string;
                            task_id: string;
                            tool_name: string;
                            /** @enum {unknown} */
                            state: "RECEIVED" | "QUEUED" | "LEASED" | "STARTING" | "RUNNING" | "COLLECTING" | "FINISHED";
                            reason: string | null;
                            attempt: number;
                            cancel_requested: boolean;
                            /** Format: date-time */
                            received_at: string;
                            /** Format: date-time */
                            started_at?: string | null;
                            /** Format: date-time */
                            finished_at?: string | null;
                        };
                    };
                };
                /** @description Default Response */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            type: string;
                            title: string;
                            status: number;
                            detail: string;
                            /** @description a reason of docs/failures.md, or a code of HTTP alone */
                            code: string;
                            hint: string | null;
                            retryable: boolean;
                            details: {
                                path?: string;
                                message?: string;
                            }[];
                        };
                    };
                };
                /** @description Default Response */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            type: string;
                            title: string;
                            status: number;
                            detail: string;
                            /** @description a reason of docs/failures.md, or a code of HTTP alone */
                            code: string;
                            hint: string | null;
                            retryable: boolean;
                            details: {
                                path?: string;
                                message?: string;
                            }[];
                        };
                    };
                };
                /** @description Default Response */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            type: string;
                            title: string;
                            status: number;
                            detail: string;
                            /** @description a reason of docs/failures.md, or a code of HTTP alone */
                            code: string;
                            hint: string | null;
                            retryable: boolean;
                            details: {
                                path?: string;
                                message?: string;
                            }[];
                        };
                    };
                };
                /** @description Default Response */
                429: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            type: string;
                            title: string;
                            status: number;
                            detail: string;
                            /** @description a reason of docs/failures.md, or a code of HTTP alone */
                            code: string;
                            hint: string | null;
                            retryable: boolean;
                            details: {
                                path?: string;
                                message?: string;
                            }[];
                        };
                    };
                };
                /** @description Default Response */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            type: string;
                            title: string;
                            status: number;
                            detail: string;
                            /** @description a reason of docs/failures.md, or a code of HTTP alone */
                            code: string;
                            hint: string | null;
                            retryable: boolean;
                            details: {
                                path?: string;
                                message?: string;
                            }[];
                        };
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The stored result, byte for byte; until there is one, the task's state. */
        get: {
            parameters: {
                query?: {
                    /** @description on the local socket; otherwise the tenant is the API key's */
                    tenant_id?: string;
                    /** @description how long to wait for the result, such as 30s; at most 300s */
                    wait?: string;
                };
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            /** @enum {unknown} */
                            schema_version: 1;
                            task_id: string | null;
                            tenant_id: string;
                            tool_name: string | null;
                            /** @enum {unknown} */
                            status: "success" | "failed";
                            /** @enum {unknown} */
                            reason: "ok" | "nonzero_exit" | "timeout" | "oom" | "pids_limit" | "disk_full" | "output_limit" | "result_invalid" | "cancelled" | "expired" | "validation" | "unknown_tool" | "policy_denied" | "conflict" | "quota" | "image" | "sandbox" | "worker_lost" | "internal";
                            exit_code: number | null;
                            signal: string | null;
                            error: {
                                /** @enum {unknown} */
                                code: "ok" | "nonzero_exit" | "timeout" | "oom" | "pids_limit" | "disk_full" | "output_limit" | "result_invalid" | "cancelled" | "expired" | "validation" | "unknown_tool" | "policy_denied" | "conflict" | "quota" | "image" | "sandbox" | "worker_lost" | "internal";
                                message: string;
                                hint: string | null;
                                retryable: boolean;
                                details: {
                                    path: string;
                                    message: string;
                                }[];
                            } | null;
                            output: {
                                value: unknown;
                                stdout: string;
                                stderr: string;
                                /** @enum {unknown} */
                                stdout_encoding: "utf-8" | "base64";
                                /** @enum {unknown} */
                                stderr_encoding: "utf-8" | "base64";
                                stdout_bytes: number;
                                stderr_bytes: number;
                                truncated: boolean;
                                results: {
                                    mime: string;
                                    artifact: string;
                                }[];
                                artifacts: {
                                    path: string;
                                    size_bytes: number;
                                    sha256: string;
                                    mime: string;
                                    url: string;
                                    secrets: string[];
                                }[];
                                artifacts_object: string | null;
                                logs_object: string | null;
                            };
                            metrics: {
                                queue_ms: number | null;
                                start_ms: number | null;
                                run_ms: number | null;
                                duration_ms: number | null;
                                cpu_ms: number | null;
                                memory_peak_bytes: number | null;
                                pids_peak: number | null;
                                egress_bytes: number | null;
                                egress_connections: number | null;
                                /** @enum {unknown} */
                                source: "cgroup" | "sampled" | null;
                                redactions: number;
                            };
                            egress: {
                                host: string | null;
                                port: number | null;
                                /** @enum {unknown} */
                                verdict: "allowed" | "denied" | "failed";
                                bytes_in: number;
                                bytes_out: number;
                                connections: number;
                                why: string | null;
                                hint: string | null;
                            }[];
                            sandbox: {
                                image: string;
                                image_id: string;
                                runtime: string;
                                warm: boolean;
                                limits: {
                                    timeout_seconds: number;
                                    cpus: number;
                                    memory_mb: number;
                                    pids: number;
                                    disk_mb: number;
                                    output_mb: number;
                                    inodes: number;
                                    log_mb: number;
                                };
                            } | null;
                            attempt: number;
                            trace_id: string | null;
                            metadata: Record<string, unknown>;
                            result_object?: string;
                        } | {
                            tenant_id: string;
                            task_id: string;
                            tool_name: string;
                            /** @enum {unknown} */
                            state: "RECEIVED" | "QUEUED" | "LEASED" | "STARTING" | "RUNNING" | "COLLECTING" | "FINISHED";
                            reason: string | null;
                            attempt: number;
                            cancel_requested: boolean;
                            /** Format: date-time */
                            received_at: string;
                            /** Format: date-time */
                            started_at?: string | null;
                            /** Format: date-time */
                            finished_at?: string | null;
                        };
                    };
                };
                /** @description Default Response */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            type: string;
                            title: string;
                            status: number;
                            detail: string;
                            /** @description a reason of docs/failures.md, or a code of HTTP alone */
                            code: string;
                            hint: string | null;
                            retryable: boolean;
                            details: {
                                path?: string;
                                message?: string;
                            }[];
                        };
                    };
                };
                /** @description Default Response */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            type: string;
                            title: string;
                            status: number;
                            detail: string;
                            /** @description a reason of docs/failures.md, or a code of HTTP alone */
                            code: string;
                            hint: string | null;
                            retryable: boolean;
                            details: {
                                path?: string;
                                message?: string;
                            }[];
                        };
                    };
                };
            };
        };
        put?: never;
        post?: never;
        /** Cancel: idempotent, in every state, also before the task has come. */
        delete: {
            parameters: {
                query?: {
                    /** @description on the local socket; otherwise the tenant is the API key's */
                    tenant_id?: string;
                };
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            tenant_id?: string;
                            task_id?: string;
                            /** @enum {unknown} */
                            cancel?: "unknown" | "over" | "ended" | "asked";
                            reason?: string | null;
                        };
                    };
                };
                /** @description Default Response */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            tenant_id?: string;
                            task_id?: string;
                            /** @enum {unknown} */
                            cancel?: "unknown" | "over" | "ended" | "asked";
                            reason?: string | null;
                        };
                    };
                };
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What the task does, live and from what is stored, as server-sent events or NDJSON (by Accept). Ends with the task. */
        get: {
            parameters: {
                query?: {
                    /** @description on the local socket; otherwise the tenant is the API key's */
                    tenant_id?: string;
                    /** @description the id (or seq) of the last event that was seen */
                    after?: string;
                };
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{id}/logs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What the task has written so far, as the lines of the log object (NDJSON). */
        get: {
            parameters: {
                query?: {
                    /** @description on the local socket; otherwise the tenant is the API key's */
                    tenant_id?: string;
                };
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{id}/artifacts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Which files and folders the task left under /output. */
        get: {
            parameters: {
                query?: {
                    /** @description on the local socket; otherwise the tenant is the API key's */
                    tenant_id?: string;
                };
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{id}/artifacts/{*}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One file, or a range of its bytes. */
        get: {
            parameters: {
                query?: {
                    /** @description on the local socket; otherwise the tenant is the API key's */
                    tenant_id?: string;
                };
                header?: never;
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/dead_letters": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The dead letters of the tenant, newest first. */
        get: {
            parameters: {
                query?: {
                    /** @description on the local socket; otherwise the tenant is the API key's */
                    tenant_id?: string;
                    reason?: string;
                    limit?: number;
                    /** @description next_cursor of the page before */
                    cursor?: string;
                };
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            dead_letters: {
                                id: number;
                                tenant_id: string | null;
                                task_id: string | null;
                                /** @description one of docs/failures.md */
                                reason: string;
                                /** @enum {unknown} */
                                stage: "intake" | "execute" | "callback";
                                attempts: number;
                                first_seen: string | null;
                                source: string | null;
                                error: string | null;
                                created_at: string;
                            }[];
                            next_cursor: string | null;
                        };
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/dead_letters/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One dead letter, with its bytes. */
        get: {
            parameters: {
                query?: {
                    /** @description on the local socket; otherwise the tenant is the API key's */
                    tenant_id?: string;
                };
                header?: never;
                path: {
                    id: number;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            id: number;
                            tenant_id: string | null;
                            task_id: string | null;
                            /** @description one of docs/failures.md */
                            reason: string;
                            /** @enum {unknown} */
                            stage: "intake" | "execute" | "callback";
                            attempts: number;
                            first_seen: string | null;
                            source: string | null;
                            error: string | null;
                            created_at: string;
                            value: string;
                            /** @enum {unknown} */
                            value_encoding: "utf-8" | "base64";
                        };
                    };
                };
                /** @description Default Response */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            type: string;
                            title: string;
                            status: number;
                            detail: string;
                            /** @description a reason of docs/failures.md, or a code of HTTP alone */
                            code: string;
                            hint: string | null;
                            retryable: boolean;
                            details: {
                                path?: string;
                                message?: string;
                            }[];
                        };
                    };
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/dead_letters/{id}/replay": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Its request as a new task, always with the same id, or its callback once more. */
        post: {
            parameters: {
                query?: {
                    /** @description on the local socket; otherwise the tenant is the API key's */
                    tenant_id?: string;
                };
                header?: never;
                path: {
                    id: number;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            tenant_id: string;
                            task_id: string;
                            /** @enum {unknown} */
                            replayed: "task" | "callback";
                        };
                    };
                };
                /** @description Default Response */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            type: string;
                            title: string;
                            status: number;
                            detail: string;
                            /** @description a reason of docs/failures.md, or a code of HTTP alone */
                            code: string;
                            hint: string | null;
                            retryable: boolean;
                            details: {
                                path?: string;
                                message?: string;
                            }[];
                        };
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{id}/replay": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** A task that has ended once more, as a new one; metadata.replay_of says whose replay it is. */
        post: {
            parameters: {
                query?: {
                    /** @description on the local socket; otherwise the tenant is the API key's */
                    tenant_id?: string;
                };
                header: {
                    /** @description the task_id of the new task */
                    "idempotency-key": string;
                };
                path: {
                    id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            tenant_id: string;
                            task_id: string;
                        };
                    };
                };
                /** @description Default Response */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": {
                            type: string;
                            title: string;
                            status: number;
                            detail: string;
                            /** @description a reason of docs/failures.md, or a code of HTTP alone */
                            code: string;
                            hint: string | null;
                            retryable: boolean;
                            details: {
                                path?: string;
                                message?: string;
                            }[];
                        };
                    };
                };
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The process answers. */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether it takes tasks; 503 names what is missing. */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** For Prometheus. */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tools": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What can be run. */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/files/{sha256}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** Put the bytes that files[].sha256 of a later request names. */
        put: {
            parameters: {
                query?: {
                    /** @description on the local socket; otherwise the tenant is the API key's */
                    tenant_id?: string;
                };
                header?: never;
                path: {
                    sha256: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Default Response */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
            };
        };
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: never;
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
