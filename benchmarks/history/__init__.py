"""Compares Stepline's loss history with MLflow's. The MLflow server is started by benchmarks/peers/mlflow.py."""
