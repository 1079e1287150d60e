package sagemaker.inference.frontend;

import java.util.Locale;

/**
 * Why the front end itself refuses or fails a request.
 *
 * <p>A constant's name in lower case is the code that clients see. Each code exists in the Python
 * package too, with the same status; a test there reads this file and compares them.
 */
enum ErrorCode {
    BAD_REQUEST(400),
    NOT_FOUND(404),
    MODEL_NOT_FOUND(404),
    METHOD_NOT_ALLOWED(405),
    REQUEST_TIMEOUT(408),
    PAYLOAD_TOO_LARGE(413),
    URI_TOO_LONG(414),
    HEADER_FIELDS_TOO_LARGE(431),
    INTERNAL_ERROR(500),
    UNENCODABLE_PREDICTION(500),
    PROCESS_DIED(500),
    SERVICE_UNAVAILABLE(503),
    PREDICTION_TIMEOUT(504),
    OUT_OF_MEMORY(507);

    final int status;
    final String code = name().toLowerCase(Locale.ROOT);

    ErrorCode(int status) {
        this.status = status;
    }
}
