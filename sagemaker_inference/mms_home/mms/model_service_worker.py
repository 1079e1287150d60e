#!/bin/sh
# What MMS's front end believes to be its back end. It is run by /bin/sh, whatever its name says:
# MMS asks for a file of this name. It links the socket that the front end will connect to, to the
# supervisor's, waits until the models are loaded, says what the front end waits for, and stays
# until the front end is gone.
while [ $# -gt 0 ]; do
    if [ "$1" = "--sock-name" ]; then
        ln -sf "$SAGEMAKER_INFERENCE_SOCKET" "$2"
    fi
    shift
done
echo "[PID] $$"
read -r _ < "$SAGEMAKER_INFERENCE_READY" || exit 1
echo "MMS worker started."
exec cat
