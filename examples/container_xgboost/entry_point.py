"""The container's entry point."""

from pathlib import Path

from sagemaker_inference import model_server

if __name__ == "__main__":
    service = Path(__file__).with_name("handler_service.py")
    model_server.start_model_server(handler_service=str(service))
