#!/bin/sh
# What MMS's front end believes to be its back end. It is run by /bin/sh, whatever its name says:
# MMS asks for a file of this name. It links the socket that the front end will connect to, to the
# supervisor's, and says what the front end waits for.
previous=
for argument in "$@"; do
    if [ "$previous" = "--sock-name" ]; then
        ln -sf "$SAGEMAKER_INFERENCE_SOCKET" "$argument"
    fi
    previous=$argument
done
echo "[PID] $$"
if [ -n "$SAGEMAKER_INFERENCE_LINK" ]; then
    # Many models: it becomes a process of the one that the front end is told to load.
    echo "MMS worker started."
    export PYTHONPATH="$SAGEMAKER_INFERENCE_PYTHONPATH"
    exec "$SAGEMAKER_INFERENCE_PYTHON" -c "$SAGEMAKER_INFERENCE_CODE" "$@"
fi
# One model: it waits until that is loaded, and stays until the front end is gone.
read -r _ < "$SAGEMAKER_INFERENCE_READY" || exit 1
echo "MMS worker started."
exec cat
