"""Serves service.py on this package's own back end."""

from pathlib import Path

from sagemaker_inference import model_server

if __name__ == "__main__":
    service = Path(__file__).with_name("service.py")
    model_server.start_model_server(handler_service=f"{service}:handle")
