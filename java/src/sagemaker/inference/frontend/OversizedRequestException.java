package sagemaker.inference.frontend;

/** Why a request is passed on without its body: the body is over the limit. */
final class OversizedRequestException extends Exception {
    private static final long serialVersionUID = 1;

    /** Whether the connection ends with the request, since it is unknown if its body comes. */
    final boolean isLast;

    /**
     * Creates the exception with a message for the client.
     *
     * @param size of the body, or negative if the client has not announced it
     */
    OversizedRequestException(long size, int limit, boolean isLast) {
        super(
                (size > limit ? "The body has " + size + " bytes" : "The body is too large")
                        + "; at most "
                        + limit
                        + " bytes are allowed",
                null,
                false,
                false);
        this.isLast = isLast;
    }
}
