package main

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: "default"}
}

func gatewayClass() *gatewayv1.GatewayClass {
	return &gatewayv1.GatewayClass{ObjectMeta: metav1.ObjectMeta{Name: "istio"},
		Spec: gatewayv1.GatewayClassSpec{ControllerName: "istio.io/gateway-controller"}}
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func gatewayNamed(name string) *gatewayv1.Gateway {
	return &gatewayv1.Gateway{ObjectMeta: meta(name), Spec: gatewayv1.GatewaySpec{
		GatewayClassName: "istio",
		Listeners:        []gatewayv1.Listener{{Name: "http", Port: port, Protocol: gatewayv1.HTTPProtocolType}},
	}}
}

func serviceNamed(name string, at int32) *corev1.Service {
	return &corev1.Service{ObjectMeta: meta(name),
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: at}}}}
}
